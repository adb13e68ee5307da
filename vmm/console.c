/*
 * The terminal. What the guest writes is collected: the first byte wakes the thread, which waits a moment before it sends all
 * that has come. One thread sends, reads and takes commands; it waits for one bell only, which the console server and
 * the back end of the port ring. At the end the main thread sends, too.
 *
 * Two ports of the guest share it, the serial one and that of virtio: what is typed goes to the one that wrote last.
 *
 * Without a console server output goes to the log, as lines.
 *
 * SPDX-License-Identifier: MIT
 */

#include "console.h"

#include "dev/uart.h"
#include "monitor.h"
#include "virtio/console.h"

#include <nova/error.h>
#include <nova/log.h>
#include <nova/program.h>
#include <nova/session.h>
#include <nova/string.h>
#include <nova/sync.h>
#include <nova/thread.h>

#define RING 16384U /* a power of two */
#define CHUNK 2048U /* bytes of a message */
#define COLLECT (2 * NOVA_MS)
#define PATIENCE (5 * NOVA_S)

static struct nova_session session;
static bool terminal;
static uint64_t bell; /* semaphore */

enum port { SERIAL, VIRTIO, PORTS };

/* The guest writes at `head`, with `lock`; who sends takes at `tail`, with `sending`. Both atomic. */
static struct nova_mutex lock, sending;
static uint8_t ring[RING];
static uint32_t head, tail;
static uint32_t full;    /* atomic: bits of ports that have more to write */
static enum port typed;  /* atomic: whose input it is */
static uint32_t waiting; /* atomic: the thread has been woken for output */

static uint8_t input[CHUNK];
static size_t input_used, input_count;

static size_t output(enum port port, const uint8_t *bytes, size_t count)
{
    uint32_t room;
    size_t taken;

    nova_mutex_lock(&lock);
    room = RING - (head - __atomic_load_n(&tail, __ATOMIC_ACQUIRE));
    taken = count < room ? count : room;
    for (size_t i = 0; i < taken; i++)
        ring[(head + i) % RING] = bytes[i];
    __atomic_store_n(&head, head + (uint32_t)taken, __ATOMIC_RELEASE);
    if (taken < count)
        __atomic_fetch_or(&full, 1U << port, __ATOMIC_SEQ_CST);
    __atomic_store_n(&typed, port, __ATOMIC_RELAXED);
    nova_mutex_unlock(&lock);
    if (!__atomic_exchange_n(&waiting, 1, __ATOMIC_SEQ_CST))
        nova_sm_up(bell);
    return taken;
}

static size_t serial_output(const uint8_t *bytes, size_t count)
{
    return output(SERIAL, bytes, count);
}

static size_t virtio_output(const uint8_t *bytes, size_t count)
{
    return output(VIRTIO, bytes, count);
}

static void input_room(void)
{
    nova_sm_up(bell);
}

/* One call: text to the terminal, or from it. Returns what the server answers: bytes, a command, or an error. */
static long call(enum nova_log_op op, uint64_t argument, const void *text, unsigned words)
{
    uint64_t *message = nova_message();
    int answer;

    message[0] = op;
    message[1] = argument;
    if (text)
        memcpy(message + 2, text, argument);
    answer = nova_session_call(&session, words);
    if (answer < 0)
        return answer;
    if ((int)message[0] || answer < 2)
        return message[0] ? (int)message[0] : NOVA_ERR_PROTOCOL;
    return (long)message[1];
}

/* Sends text; how much was taken. */
static size_t emit(const uint8_t *text, size_t length)
{
    long taken = (long)length;

    if (terminal)
        taken = call(NOVA_LOG_WRITE, length, text, 2 + (unsigned)(length + 7) / 8);
    else
        nova_log_write((const char *)text, length);
    if (taken < 0) /* the server is gone: so is the text */
        return length;
    return (size_t)taken < length ? (size_t)taken : length;
}

/* Ports that have waited go on. */
static void output_room(uint32_t ports)
{
    if (ports >> SERIAL & 1)
        uart_output_room();
    if (ports >> VIRTIO & 1)
        virtio_console_output_room();
}

/* What is in the ring, as far as the server takes it; false if it does not take all now. With `sending`. */
static bool send(void)
{
    static uint8_t text[CHUNK];

    for (;;) {
        uint32_t from = tail, count = __atomic_load_n(&head, __ATOMIC_ACQUIRE) - from;
        size_t taken;

        if (!count) {
            uint32_t ports = __atomic_exchange_n(&full, 0, __ATOMIC_SEQ_CST);
            if (!ports)
                return true;
            output_room(ports);
            continue;
        }
        count = count < CHUNK ? count : CHUNK;
        for (uint32_t i = 0; i < count; i++)
            text[i] = ring[(from + i) % RING];
        taken = emit(text, count);
        __atomic_store_n(&tail, from + (uint32_t)taken, __ATOMIC_RELEASE);
        if (taken)
            output_room(__atomic_exchange_n(&full, 0, __ATOMIC_SEQ_CST));
        if (!taken)
            return false;
    }
}

static bool flush(void)
{
    bool all;

    nova_mutex_lock(&sending);
    all = send();
    nova_mutex_unlock(&sending);
    return all;
}

/* What was typed, as far as the port takes it. */
static void feed(void)
{
    for (;;) {
        if (input_used == input_count) {
            long count = call(NOVA_LOG_READ, CHUNK, NULL, 2);
            if (count <= 0 || count > (long)CHUNK)
                return;
            memcpy(input, nova_message() + 2, (size_t)count);
            input_used = 0;
            input_count = (size_t)count;
        }
        input_used += (__atomic_load_n(&typed, __ATOMIC_RELAXED) == VIRTIO
                           ? virtio_console_input
                           : uart_input)(input + input_used, input_count - input_used);
        if (input_used < input_count)
            return;
    }
}

static void console_main(void *context)
{
    (void)context;
    for (;;) {
        nova_sm_drain(bell, NOVA_NEVER);
        if (terminal) {
            long command = call(NOVA_LOG_COMMAND, 0, NULL, 1);
            if (command > 0)
                monitor_command((uint64_t)command);
            feed();
        }
        if (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST)) {
            nova_sleep_until(nova_now() + COLLECT);
            __atomic_store_n(&waiting, 0, __ATOMIC_SEQ_CST);
        }
        flush();
    }
}

void console_flush(void)
{
    uint64_t end = nova_now() + NOVA_S;

    while (!flush() && nova_now() < end)
        nova_sleep_until(nova_now() + COLLECT);
}

int console_init(void)
{
    static const struct uart_backend serial = {.output = serial_output, .input_room = input_room};
    static const struct virtio_console_backend virtio = {.output = virtio_output, .input_room = input_room};
    struct nova_thread *thread;
    int error;

    if (nova_info()->console && !nova_session_open(&session, "log", 0, nova_now() + PATIENCE))
        terminal = call(NOVA_LOG_TERMINAL, 0, NULL, 1) >= 0;
    if (terminal)
        bell = session.bell;
    else if ((error = nova_sm_create(&bell, 0)))
        return error;
    if (!uart_init(&serial) || !virtio_console_init(&virtio))
        return NOVA_ERR_BUSY;
    return nova_thread_create(&thread, console_main, NULL, &(struct nova_thread_options){.detached = 1});
}
