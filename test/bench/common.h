/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common.h - what the load generator (smtpload.c) and the sink (smtpsink.c) have in common: the clock, the end by a
 * signal, room for descriptors, a loopback address from the command line, sockets without delay.
 *
 * Header only; each program includes it once, behind its _GNU_SOURCE.
 */
#ifndef COMMON_H
#define COMMON_H
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

static volatile sig_atomic_t got_term;

static inline uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

static void on_term(int s)
{
    (void)s;
    got_term = 1;
}

/* SIGTERM and SIGINT set got_term; a closed connection is an error of that connection. */
static inline void catch_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_term);
    signal(SIGINT, on_term);
}

/* As many descriptors as can be had. */
static inline void raise_descriptors(void)
{
    struct rlimit rl = { 1048576, 1048576 };
    if (setrlimit(RLIMIT_NOFILE, &rl) < 0) {
        getrlimit(RLIMIT_NOFILE, &rl);
        rl.rlim_cur = rl.rlim_max;
        setrlimit(RLIMIT_NOFILE, &rl);
    }
}

static inline int is_loopback(uint32_t ip)
{
    return ip >> 24 == 127;
}

enum { ADDRESS_OK, ADDRESS_NONE, ADDRESS_AFAR };

/* "127.x.y.z:port", which it takes apart. */
static inline int parse_address(char *text, struct sockaddr_in *a)
{
    char *col = strrchr(text, ':');
    if (!col) {
        return ADDRESS_NONE;
    }
    *col = 0;
    *a = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(atoi(col + 1)) };
    if (inet_pton(AF_INET, text, &a->sin_addr) != 1) {
        return ADDRESS_NONE;
    }
    return is_loopback(ntohl(a->sin_addr.s_addr)) ? ADDRESS_OK : ADDRESS_AFAR;
}

static inline void no_delay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

#endif
