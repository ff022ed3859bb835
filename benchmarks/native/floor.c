/* The floor under fan-out: a server that does nothing but send(2), one a frame, or one for all frames of a tick.
 *
 * Prints {"port":N}. Orders are lines: `run SECONDS UPDATES BYTES JOINED`, answered by {"ticks":n,"seconds":s,"cpu":s}.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SOCKETS = 20000, MOST_JOINED = 64 };
static int sockets[MOST_SOCKETS], socket_count;
static const char ACCEPT[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n";

static double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void send_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return;
        if (sent < 0) {
            struct pollfd one = {.fd = fd, .events = POLLOUT};
            poll(&one, 1, 1000);
            continue;
        }
        data += sent;
        size -= sent;
    }
}

static void run(double seconds, int updates, int size, int joined) {
    char *tick = malloc((size_t)size * MOST_JOINED);
    for (int i = 0; i < MOST_JOINED; i++) {
        char *frame = tick + (size_t)i * size;
        memset(frame, 'x', size);
        frame[0] = (char)0x81;
        frame[1] = 126;
        frame[2] = (char)((size - 4) >> 8);
        frame[3] = (char)(size - 4);
    }
    double begun = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    long ticks = 0;
    do {
        if (joined)
            for (int i = 0; i < socket_count; i++) send_all(sockets[i], tick, (size_t)size * updates);
        else
            for (int u = 0; u < updates; u++)
                for (int i = 0; i < socket_count; i++) send_all(sockets[i], tick, size);
        ticks++;
    } while (seconds_of(CLOCK_MONOTONIC) - begun < seconds);
    printf("{\"ticks\":%ld,\"seconds\":%.6f,\"cpu\":%.6f}\n", ticks, seconds_of(CLOCK_MONOTONIC) - begun,
           seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    fflush(stdout);
    free(tick);
}

static void order(void) {
    char line[256];
    double seconds;
    int updates, size, joined;
    if (!fgets(line, sizeof line, stdin)) exit(0);
    if (sscanf(line, "run %lf %d %d %d", &seconds, &updates, &size, &joined) != 4 || updates > MOST_JOINED) exit(2);
    run(seconds, updates, size, joined);
}

static void welcome(int listener) {
    char request[4096];
    int fd = accept(listener, NULL, NULL), yes = 1;
    if (fd < 0 || socket_count == MOST_SOCKETS) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    size_t used = 0;
    while (used < sizeof request && !memmem(request, used, "\r\n\r\n", 4)) {
        ssize_t got = recv(fd, request + used, sizeof request - used, 0);
        if (got <= 0) {
            close(fd);
            return;
        }
        used += got;
    }
    send_all(fd, ACCEPT, sizeof ACCEPT - 1);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    sockets[socket_count++] = fd;
}

int main(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) return 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    setvbuf(stdin, NULL, _IONBF, 0);
    printf("{\"port\":%d}\n", ntohs(address.sin_port));
    fflush(stdout);
    struct pollfd both[2] = {{.fd = 0, .events = POLLIN}, {.fd = listener, .events = POLLIN}};
    for (;;) {
        poll(both, 2, -1);
        if (both[0].revents) order();
        if (both[1].revents) welcome(listener);
    }
}
