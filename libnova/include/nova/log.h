/**
 * @file
 * The log: lines of text on the console, with the name of the domain in front.
 *
 * Text is collected until a line is complete. It goes to the session `log` if the system has a console
 * server, else to root. If the console server is full, the caller waits; if it is gone, text is dropped after
 * some seconds, and the next line that gets through says how much.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stddef.h>
#include <stdint.h>

/**
 * @addtogroup libnova_log
 * @{
 */

/**
 * Writes formatted text (nova/format.h) of up to 1023 characters; longer text is cut off. What is written by
 * one call stays together. Thread-safe; can be used in portal handlers and leaves the UTCB alone.
 *
 * Example: `nova_print("%u sessions\n", count);`
 */
void nova_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Writes text as it is. Example: `nova_log_write(line, length);` */
void nova_log_write(const char *text, size_t length);

/** Sends what is there of an incomplete line, for prompts. */
void nova_log_flush(void);

/**
 * Reads what was typed at the console: up to `size` bytes, at least 1 unless the deadline has passed. Returns
 * how many; #NOVA_ERR_TIMEOUT; #NOVA_ERR_ABSENT at the end of input and without a console server;
 * #NOVA_ERR_DENIED without `keyboard = yes`; #NOVA_ERR_PEER if the console server goes while the caller waits, or is
 * not there by the deadline: the next call waits for its successor. One thread at a time.
 *
 * Example: `long n = nova_log_read(text, sizeof(text), NOVA_NEVER);`
 */
long nova_log_read(char *text, size_t size, uint64_t deadline);

/** The same, but what is typed is not shown: for passphrases. From this call on, until the next nova_log_read(). */
long nova_log_read_secret(char *text, size_t size, uint64_t deadline);

/**
 * Operations of the service `log`, in word 0 of a message. A session is a log of lines, until it is made a *terminal*:
 * the byte stream of a virtual machine's serial console. A virtual machine has both: one session for the lines of its
 * monitor, opened by libnova, and one that it opens itself (`nova_session_open(&s, "log", 0, deadline)`).
 *
 * A terminal that has the keyboard is shown byte by byte, raw; without it, line by line as any log. What is typed comes
 * byte by byte, without echo. The user changes to another session, or gives a command to the program behind a terminal
 * (`enum nova_log_command`), with the escape key Ctrl-]; pressed twice it is typed itself.
 *
 * When its bell rings the client looks for all of: room for what it has to write, input (READ), a command (COMMAND).
 */
enum nova_log_op {
    NOVA_LOG_WRITE = 1, /**< Word 1: bytes, up to 4000; then the text. Answer: error; bytes taken. Not all:
                             wait for the bell, go on. */
    NOVA_LOG_READ = 2,  /**< Word 1: largest number of bytes. Answer: error; bytes; text. 0 bytes: wait for
                             the bell. #NOVA_ERR_ABSENT: input is at its end; never for a terminal. */
    NOVA_LOG_TERMINAL = 3, /**< The session is a terminal from now on. No arguments. Answer: error; 0. */
    NOVA_LOG_COMMAND = 4,  /**< Of a terminal. No arguments. Answer: error; the command that was given last, 0: none.
                                Each is told once. */
    NOVA_LOG_READ_SECRET = 5 /**< As READ; what is typed is not shown until the client's next READ. */
};

/**
 * Commands to the program behind a terminal: the letter that is typed after the escape key. It answers with lines in
 * its log, not on the terminal.
 */
enum nova_log_command {
    NOVA_LOG_STATE = 's',     /**< State of the machine and of each virtual CPU, a line each. */
    NOVA_LOG_EXITS = 'x',     /**< Exits by reason: number of each that occurred. */
    NOVA_LOG_REGISTERS = 'r', /**< Registers of the virtual CPUs. */
    NOVA_LOG_PAUSE = 'h',     /**< Halt: the virtual CPUs stop. */
    NOVA_LOG_RESUME = 'c',    /**< Continue. */
    NOVA_LOG_RESET = 'b',     /**< Boot: reset the machine. */
    NOVA_LOG_POWER = 'o'      /**< Off: press the power button. */
};

/** @} */
