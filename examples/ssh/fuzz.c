/*
 * fuzz: floods the agent with nonsense, from a Linux in a virtual machine: over as many sockets (AF_VSOCK) at
 * once as it may have, messages at random and damaged ones, frames of impossible sizes, messages that are cut off,
 * bursts without reading, half-closed and abandoned connections. Each message that is complete must have one reply,
 * one that is none must end its connection, and the list of keys must be the same before and after. Prints what it
 * has done, and what was wrong.
 *
 * usage: fuzz ROUNDS      of each of the connections
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define PORT 2222
#define CONNECTIONS 4
#define BURST 24
#define MESSAGE_MAX 16384U /* of the agent */
#define REPLY_MAX 4096U

enum { FAILURE = 5, LIST = 11, ANSWER = 12, SIGN = 13, SIGNATURE = 14, LOCK = 22, UNLOCK = 23 };

/* Of all connections, which are processes. */
static struct figures {
    unsigned long messages, replies, signatures, cut, impossible, half_closed, abandoned, wrong;
} * figures;

static uint64_t state; /* of the random numbers */
static int fd = -1;
static uint8_t list[REPLY_MAX];
static size_t list_size;

/* What is sent in a round. */
static struct {
    uint8_t bytes[BURST * (MESSAGE_MAX + 64)];
    size_t size;
    unsigned complete; /* messages that have a reply each */
    bool cut, impossible;
} out;

static uint32_t random_below(uint32_t limit)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 16) % limit;
}

static void count(unsigned long *figure)
{
    __atomic_add_fetch(figure, 1, __ATOMIC_RELAXED);
}

static void wrong(const char *what, long value)
{
    count(&figures->wrong);
    printf("fuzz: %s: %ld (%s)\n", what, value, strerror(errno));
}

/* The session of the connection before may still be about to be closed. */
static void reconnect(void)
{
    const struct sockaddr_vm agent = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = PORT};
    const struct timeval limit = {.tv_sec = 60};

    for (unsigned tries = 0; fd < 0 && tries < 3000; tries++) {
        fd = socket(AF_VSOCK, SOCK_STREAM, 0);
        if (!connect(fd, (const struct sockaddr *)&agent, sizeof(agent))) {
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
            return;
        }
        close(fd);
        fd = -1;
        usleep(10000);
    }
    wrong("no connection", fd);
    exit(1);
}

static void disconnect(void)
{
    close(fd);
    fd = -1;
}

static void put_number(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t number(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static size_t put_random(uint8_t *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)random_below(256);
    return size;
}

static size_t put_string(uint8_t *at, const uint8_t *bytes, size_t size)
{
    put_number(at, (uint32_t)size);
    if (bytes)
        memcpy(at + 4, bytes, size);
    else
        put_random(at + 4, size);
    return 4 + size;
}

/* A request as it should be, without its length. One in four of the large ones fills a message. */
static size_t make(uint8_t *at)
{
    static const uint8_t types[] = {LIST, SIGN, SIGN, SIGN, UNLOCK, 0, 17, 18, 19, 25, 27, 255};
    size_t size = 1, most = random_below(16) ? 100 : MESSAGE_MAX - 80;

    at[0] = types[random_below(sizeof(types))];
    if (at[0] == SIGN) {
        size += put_string(at + size, list + 13, 51);
        size += put_string(at + size, NULL, random_below((uint32_t)most));
        put_number(at + size, 0);
        return size + 4;
    }
    return at[0] == LIST ? size : size + put_string(at + size, NULL, random_below((uint32_t)most));
}

/* Damages it in one place. The new size, at least 1. */
static size_t damage(uint8_t *at, size_t size)
{
    static const uint32_t numbers[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffb, MESSAGE_MAX};
    size_t place = random_below((uint32_t)size);

    switch (random_below(5)) {
    case 0:
        at[place] ^= (uint8_t)(1 << random_below(8));
        return size;
    case 1:
        if (place + 4 <= size)
            put_number(at + place, numbers[random_below(sizeof(numbers) / sizeof(*numbers))]);
        return size;
    case 2:
        return place ? place : 1;
    case 3:
        return size + put_random(at + size, random_below(16));
    default:
        return put_random(at, size);
    }
}

/* Adds a message to what is sent, or something that is none; then nothing can follow. */
static void add(void)
{
    uint8_t *at = out.bytes + out.size;
    size_t size = make(at + 4);

    for (unsigned n = random_below(4); n; n--)
        size = damage(at + 4, size);
    /* A lock with a passphrase that nobody knows would end all of this. */
    if (at[4] == LOCK)
        at[4] = UNLOCK;
    put_number(at, (uint32_t)size);
    out.impossible = !random_below(30);
    out.cut = !out.impossible && !random_below(30);
    if (out.impossible)
        put_number(at, random_below(2) ? 0 : MESSAGE_MAX + 1 + random_below(0x7fffffff));
    out.size += out.cut ? random_below((uint32_t)(4 + size)) : 4 + size;
    out.complete += !out.impossible && !out.cut;
}

/* Sends it, in pieces sometimes. An agent that has ended the connection does not take it all. */
static void deliver(int flags)
{
    bool pieces = !random_below(4);

    for (size_t done = 0; done < out.size;) {
        size_t left = out.size - done, piece = pieces ? 1 + random_below(999) : left;
        ssize_t n = send(fd, out.bytes + done, piece < left ? piece : left, MSG_NOSIGNAL | flags);
        if (n <= 0 && !out.impossible && !flags)
            wrong("not taken", n);
        if (n <= 0)
            return;
        done += (size_t)n;
    }
}

/* A reply; its size, 0 at the end of the connection. */
static size_t receive(uint8_t reply[REPLY_MAX])
{
    size_t have = 0, wanted = 4;

    while (have < wanted) {
        ssize_t n = recv(fd, reply + have, wanted - have, 0);
        if (n <= 0) {
            if (have || (n && errno != ECONNRESET))
                wrong("a reply that is cut off, or none", n);
            return 0;
        }
        have += (size_t)n;
        if (have == 4)
            wanted += number(reply);
        if (wanted > REPLY_MAX) {
            wrong("a reply of impossible size", (long)wanted);
            return 0;
        }
    }
    return have;
}

static void read_replies(bool ends)
{
    uint8_t reply[REPLY_MAX];

    for (unsigned i = 0; i < out.complete; i++) {
        size_t size = receive(reply);
        if (size < 5 || (size != 5 && reply[4] != ANSWER && reply[4] != SIGNATURE) ||
            (size == 5 && reply[4] != FAILURE))
            wrong("this is no reply", (long)size);
        if (size < 5)
            return disconnect();
        count(&figures->replies);
        if (reply[4] == SIGNATURE)
            count(&figures->signatures);
    }
    if (ends) {
        if (receive(reply))
            wrong("a reply too many", reply[4]);
        disconnect();
    }
}

static void one_round(void)
{
    unsigned messages = random_below(8) ? 1 : 1 + random_below(BURST);
    bool abandons = !random_below(12), half = !random_below(12);

    if (fd < 0)
        reconnect();
    out.size = out.complete = 0;
    do {
        add();
        count(&figures->messages);
    } while (--messages && !out.impossible && !out.cut);
    if (out.impossible)
        count(&figures->impossible);
    if (out.cut)
        count(&figures->cut);
    deliver(abandons ? MSG_DONTWAIT : 0);
    if (abandons) {
        count(&figures->abandoned);
        return disconnect();
    }
    half |= out.cut;
    if (half) {
        shutdown(fd, SHUT_WR);
        count(&figures->half_closed);
    }
    read_replies(half || out.impossible);
}

/* The list of keys, from a connection of its own. */
static size_t ask(uint8_t reply[REPLY_MAX])
{
    reconnect();
    send(fd, "\0\0\0\1\13", 5, MSG_NOSIGNAL);
    size_t size = receive(reply);
    disconnect();
    return size;
}

int main(int argc, char **argv)
{
    int rounds = argc == 2 ? atoi(argv[1]) : 0;
    uint8_t after[REPLY_MAX];
    const struct figures *f;

    figures = mmap(NULL, sizeof(*figures), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    f = figures;
    if (rounds <= 0 || f == MAP_FAILED)
        return 2;
    list_size = ask(list);
    if (list_size < 9 + 51 || list[4] != ANSWER || !number(list + 5))
        wrong("there is no key to ask for", (long)list_size);
    fflush(stdout);
    for (unsigned i = 0; i < CONNECTIONS && !f->wrong; i++)
        if (!fork()) {
            state = 88172645463325252 + i;
            for (int n = 0; n < rounds; n++)
                one_round();
            return 0;
        }
    while (wait(NULL) > 0)
        ;
    if (ask(after) != list_size || memcmp(after, list, list_size))
        wrong("another list of keys", number(after));
    printf("fuzz: %lu messages, %lu replies, %lu of them signatures; %lu cut off, %lu impossible, "
           "%lu half-closed, %lu abandoned; %lu wrong\n",
           f->messages, f->replies, f->signatures, f->cut, f->impossible, f->half_closed, f->abandoned,
           f->wrong);
    return f->wrong != 0;
}
