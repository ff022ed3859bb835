/* The light reader: thousands of WebSockets in one thread that parse frame headers, count, and compare stamps with the clock.
 *
 *     reader HOST PORT [lines|stamps|counter=FILE]
 *
 * Orders are lines on standard input, fields separated by tabs; each is answered by one line of JSON on standard output.
 *
 *   open N AT_ONCE LIMIT ROOMS PATH KEYFILE|- [SEND EXPECT]...   opens N sockets; {room} and {key} are filled in
 *   reset                                                        forgets what was counted
 *   wait UPDATES LIMIT                                           answers when so many have come, or after LIMIT seconds
 *   close                                                        closes all sockets
 *
 * `counter`: the number of updates is kept in the first eight bytes of this file too, for servers that wait for the reader.
 * `lines`: a frame holds an update a line. `stamps`: counts only updates with "t":<nanoseconds since 1970>, and how old they are; sockets
 * are looked at every millisecond then, as each sender would pay for waking this process, where a network's clients cost it nothing.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_STEPS = 64, BUCKETS = 600000, READ_BYTES = 1 << 20, ORDER_BYTES = 1 << 16 };

typedef struct {
    int fd, index, step; /* step: -2 connecting, -1 handshake, then the expectation that is waited for */
    uint32_t kept, room;
    double begun;
    char *buffer; /* a cut frame, until its rest comes */
} Socket;

static struct { char *send, *expect; } steps[MOST_STEPS];
static int step_count, rooms = 1, lines_mode, stamps_mode, epoll_fd;
static char *path, **keys, error_text[256];
static int key_count;
static Socket **sockets;
static int socket_count, wanted, started, opened, failed, at_once, closed;
static struct sockaddr_in target;
static char host[64];
static uint64_t updates, frames, bytes, reads_done, needed;
static double reset_at, reset_cpu, last_update, deadline, opening_at;
static enum { IDLE, OPENING, WAITING } busy = IDLE;
static uint32_t histogram[BUCKETS];
static uint64_t no_counter, *counter = &no_counter;
static char incoming[READ_BYTES + 65536];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int64_t wall_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void note(double milliseconds) {
    int bucket = milliseconds < 0 ? 0 : (int)(milliseconds * 10);
    histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static void share_counter(const char *name) {
    int fd = open(name, O_RDWR);
    void *memory = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) exit(2);
    counter = memory;
}

static void reset(void) {
    *counter = 0;
    updates = frames = bytes = reads_done = 0;
    memset(histogram, 0, sizeof histogram);
    reset_at = now();
    reset_cpu = cpu();
    last_update = 0;
}

static void answer(const char *extra, ...) {
    va_list arguments;
    va_start(arguments, extra);
    printf("{");
    vprintf(extra, arguments);
    va_end(arguments);
    double wall = now() - reset_at;
    printf("\"updates\":%llu,\"frames\":%llu,\"bytes\":%llu,\"reads\":%llu,\"closed\":%d,\"sockets\":%d,\"wall\":%.6f,"
           "\"last\":%.6f,\"cpu\":%.6f,\"error\":\"%s\",\"buckets\":{",
           (unsigned long long)updates, (unsigned long long)frames, (unsigned long long)bytes,
           (unsigned long long)reads_done, closed, socket_count, wall, last_update ? last_update - reset_at : 0.0,
           cpu() - reset_cpu, error_text);
    const char *comma = "";
    for (int bucket = 0; bucket < BUCKETS; bucket++)
        if (histogram[bucket]) {
            printf("%s\"%d\":%u", comma, bucket, histogram[bucket]);
            comma = ",";
        }
    printf("}}\n");
    fflush(stdout);
}

static void fail(Socket *s, const char *text, size_t size) {
    if (!error_text[0]) {
        size = size < sizeof error_text - 1 ? size : sizeof error_text - 1;
        for (size_t i = 0; i < size; i++)
            error_text[i] = (text[i] < 32 || text[i] == '"' || text[i] == '\\' || text[i] > 126) ? '\'' : text[i];
    }
    if (s->step < step_count) failed++;
    else closed++;
    close(s->fd);
    s->fd = -1;
    free(s->buffer);
    s->buffer = NULL;
    s->kept = s->room = 0;
}

static int put(Socket *s, const char *data, size_t size) {
    /* Orders are small: a socket that cannot take one at once has failed. */
    if (send(s->fd, data, size, MSG_NOSIGNAL) == (ssize_t)size) return 1;
    fail(s, "could not send", 14);
    return 0;
}

static size_t fill(char *out, size_t room, const char *template, int index) {
    size_t used = 0;
    while (*template && used + 300 < room) {
        if (!strncmp(template, "{room}", 6)) {
            used += sprintf(out + used, "%d", index % rooms);
            template += 6;
        } else if (!strncmp(template, "{key}", 5)) {
            used += sprintf(out + used, "%.200s", key_count ? keys[index % key_count] : "");
            template += 5;
        } else
            out[used++] = *template++;
    }
    out[used] = 0;
    return used;
}

static int put_text(Socket *s, const char *text, size_t size) {
    char frame[8192];
    size_t head = 2;
    frame[0] = (char)0x81;
    if (size < 126) frame[1] = (char)(0x80 | size);
    else {
        frame[1] = (char)(0x80 | 126);
        frame[2] = (char)(size >> 8);
        frame[3] = (char)size;
        head = 4;
    }
    memset(frame + head, 0, 4); /* masked with zeros, which RFC 6455 allows */
    memcpy(frame + head + 4, text, size);
    return put(s, frame, head + 4 + size);
}

/* Send what the next steps send, up to one that waits for something. */
static int advance(Socket *s) {
    char text[8000];
    while (s->step < step_count) {
        if (steps[s->step].send[0]) {
            size_t size = fill(text, sizeof text, steps[s->step].send, s->index);
            if (!put_text(s, text, size)) return 0;
        }
        if (steps[s->step].expect[0]) return 1;
        s->step++;
    }
    opened++;
    if (busy == OPENING) note((now() - s->begun) * 1000);
    return 1;
}

static void count_update(const char *payload, size_t size) {
    if (stamps_mode) {
        /* The histogram is for the answers while sockets are opened. */
        int measured = busy != OPENING;
        int64_t clock = wall_ns();
        const char *at = payload, *end = payload + size;
        while ((at = memmem(at, end - at, "\"t\":", 4))) {
            if (measured) note((clock - strtoll(at + 4, NULL, 10)) / 1e6);
            updates++;
            at += 4;
            if (!lines_mode) break;
        }
        return;
    }
    updates++;
    if (lines_mode)
        for (const char *at = payload; (at = memchr(at, '\n', payload + size - at)) && at + 1 < payload + size; at++) updates++;
}

static int frame(Socket *s, int opcode, char *payload, size_t size) {
    frames++;
    if (opcode == 8) {
        fail(s, size > 2 ? payload + 2 : "closed", size > 2 ? size - 2 : 6);
        return 0;
    }
    if (opcode == 9) return put(s, "\x8a\x80\0\0\0\0", 6);
    if (size == 2 && payload[0] == '{') return put_text(s, "{}", 2); /* centrifuge's ping */
    if (s->step >= step_count) {
        count_update(payload, size);
        return 1;
    }
    /* A replay comes before the answer that is waited for; the histogram is for the answers then. */
    if (stamps_mode && memmem(payload, size, "\"t\":", 4)) {
        updates++;
        return 1;
    }
    if (memmem(payload, size, steps[s->step].expect, strlen(steps[s->step].expect))) {
        s->step++;
        return advance(s);
    }
    if (memmem(payload, size, "\"error\"", 7)) {
        fail(s, payload, size);
        return 0;
    }
    return 1;
}

static size_t parse(Socket *s, char *data, size_t size) {
    size_t at = 0;
    if (s->step == -1) {
        char *end = memmem(data, size, "\r\n\r\n", 4);
        if (!end) return 0;
        if (strncmp(data, "HTTP/1.1 101", 12)) {
            fail(s, data, end - data);
            return 0;
        }
        at = end + 4 - data;
        s->step = 0;
        if (!advance(s)) return 0;
    }
    while (size - at >= 2) {
        unsigned char *head = (unsigned char *)data + at;
        size_t length = head[1] & 127, begin = 2;
        if (length == 126) {
            if (size - at < 4) break;
            length = head[2] << 8 | head[3];
            begin = 4;
        } else if (length == 127) {
            if (size - at < 10) break;
            length = 0;
            for (int i = 2; i < 10; i++) length = length << 8 | head[i];
            begin = 10;
        }
        if (size - at < begin + length) break;
        if (!frame(s, head[0] & 15, data + at + begin, length)) return 0;
        at += begin + length;
    }
    return at;
}

static void keep(Socket *s, const char *data, size_t size) {
    if (size > s->room) {
        s->room = size + 512;
        s->buffer = realloc(s->buffer, s->room);
    }
    memmove(s->buffer, data, size);
    s->kept = size;
}

static void readable(Socket *s) {
    memcpy(incoming, s->buffer ? s->buffer : "", s->kept);
    ssize_t got = recv(s->fd, incoming + s->kept, READ_BYTES - s->kept, 0);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) return;
        char text[128];
        int size = snprintf(text, sizeof text, "the connection ended, %s, at step %d", got ? strerror(errno) : "closed", s->step);
        fail(s, text, size);
        return;
    }
    reads_done++;
    bytes += got;
    uint64_t before = updates;
    size_t size = s->kept + got, used = parse(s, incoming, size);
    if (updates != before) last_update = now();
    if (s->fd < 0) return;
    if (used < size) keep(s, incoming + used, size - used);
    else s->kept = 0;
}

static void shake_hands(Socket *s) {
    char filled[2048], request[4096], authorization[512] = "";
    fill(filled, sizeof filled, path, s->index);
    if (key_count) sprintf(authorization, "Authorization: Bearer %.300s\r\n", keys[s->index % key_count]);
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                        filled, host, authorization);
    int wrong = 0;
    socklen_t length = sizeof wrong;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &wrong, &length);
    if (wrong) {
        fail(s, strerror(wrong), strlen(strerror(wrong)));
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, s->fd, &event);
    s->step = -1;
    put(s, request, size);
}

static void begin_one(void) {
    Socket *s = calloc(1, sizeof *s);
    sockets[socket_count] = s;
    s->index = socket_count++;
    s->step = -2;
    s->begun = now();
    started++;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (s->fd < 0 || (connect(s->fd, (struct sockaddr *)&target, sizeof target) < 0 && errno != EINPROGRESS)) {
        fail(s, strerror(errno), strlen(strerror(errno)));
        return;
    }
    int yes = 1;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = s};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event);
}

static void read_keys(const char *name) {
    char line[512];
    FILE *file = strcmp(name, "-") ? fopen(name, "r") : NULL;
    key_count = 0;
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        keys = realloc(keys, (key_count + 1) * sizeof *keys);
        keys[key_count++] = strdup(line);
    }
    if (file) fclose(file);
}

static void order(char *line) {
    char *fields[2 * MOST_STEPS + 8], *rest = line;
    int count = 0;
    while (rest && count < (int)(sizeof fields / sizeof *fields)) fields[count++] = strdup(strsep(&rest, "\t"));
    if (!strcmp(fields[0], "open") && count >= 7) {
        wanted = atoi(fields[1]);
        at_once = atoi(fields[2]);
        deadline = now() + atof(fields[3]);
        rooms = atoi(fields[4]);
        path = fields[5];
        read_keys(fields[6]);
        step_count = 0;
        for (int i = 7; i + 1 < count; i += 2) {
            steps[step_count].send = fields[i];
            steps[step_count++].expect = fields[i + 1];
        }
        sockets = realloc(sockets, (socket_count + wanted) * sizeof *sockets);
        started = opened = failed = 0;
        reset();
        opening_at = now();
        busy = OPENING;
    } else if (!strcmp(fields[0], "wait") && count == 3) {
        needed = strtoull(fields[1], NULL, 10);
        deadline = now() + atof(fields[2]);
        busy = WAITING;
    } else if (!strcmp(fields[0], "reset")) {
        reset();
        answer("");
    } else if (!strcmp(fields[0], "close")) {
        for (int i = 0; i < socket_count; i++) {
            if (sockets[i]->fd >= 0) close(sockets[i]->fd);
            free(sockets[i]->buffer);
            free(sockets[i]);
        }
        socket_count = closed = 0;
        error_text[0] = 0;
        answer("");
    } else
        exit(2);
}

static void orders(void) {
    static char text[ORDER_BYTES];
    static size_t used;
    ssize_t got = read(0, text + used, sizeof text - used - 1);
    if (got <= 0) exit(0);
    used += got;
    char *end;
    while ((end = memchr(text, '\n', used))) {
        *end = 0;
        order(text);
        used -= end + 1 - text;
        memmove(text, end + 1, used);
    }
}

static void progress(void) {
    if (busy == OPENING) {
        while (started < wanted && started - opened - failed < at_once) begin_one();
        if (opened + failed >= wanted || now() > deadline) {
            answer("\"opened\":%d,\"failed\":%d,\"seconds\":%.6f,", opened, wanted - opened, now() - opening_at);
            busy = IDLE;
        }
    } else if (busy == WAITING && (updates >= needed || now() > deadline)) {
        answer("");
        busy = IDLE;
    }
}

int main(int count, char **arguments) {
    const struct timespec rest = {.tv_nsec = 1000000}; /* adds up to as much to the age of what it finds */
    struct epoll_event events[1024], input = {.events = EPOLLIN};
    if (count < 3) return 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    snprintf(host, sizeof host, "%s:%s", arguments[1], arguments[2]);
    for (int i = 3; i < count; i++) {
        lines_mode |= !strcmp(arguments[i], "lines");
        stamps_mode |= !strcmp(arguments[i], "stamps");
        if (!strncmp(arguments[i], "counter=", 8)) share_counter(arguments[i] + 8);
    }
    target.sin_family = AF_INET;
    target.sin_port = htons(atoi(arguments[2]));
    inet_pton(AF_INET, arguments[1], &target.sin_addr);
    epoll_fd = epoll_create1(0);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &input);
    reset();
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, 1024, busy == IDLE ? -1 : 10);
        for (int i = 0; i < ready; i++) {
            Socket *s = events[i].data.ptr;
            if (!s) orders();
            else if (s->fd < 0) continue;
            else if (s->step == -2) shake_hands(s);
            else readable(s);
        }
        *counter = updates;
        progress();
        if (stamps_mode && busy != OPENING) nanosleep(&rest, NULL);
    }
}
