/* Threads that wait in the C library in many ways. When all of them wait, the first one crashes. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, other = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static int ends[2], sockets[2];
static pthread_t first;

static void in_mutex(int id) { pthread_mutex_lock(&lock); (void)id; }
static void in_condition(int id)
{
    pthread_mutex_lock(&other);
    while (id >= 0) pthread_cond_wait(&condition, &other);
}
static void in_condition_with_timeout(int id)
{
    pthread_mutex_t mine = PTHREAD_MUTEX_INITIALIZER;
    struct timespec until = { .tv_sec = time(NULL) + 10000 + id };
    pthread_mutex_lock(&mine);
    pthread_cond_timedwait(&condition, &mine, &until);
}
static void in_read_lock(int id) { pthread_rwlock_rdlock(&shared); (void)id; }
static void in_write_lock(int id) { pthread_rwlock_wrlock(&shared); (void)id; }
static void in_barrier(int id) { pthread_barrier_wait(&barrier); (void)id; }
static void in_semaphore(int id) { sem_wait(&semaphore); (void)id; }
static void in_sleep(int id) { sleep(10000 + (unsigned)id); }
static void in_nanosleep(int id)
{
    struct timespec span = { 10000, id };
    nanosleep(&span, NULL);
}
static void in_read(int id)
{
    char byte;
    if (read(ends[0], &byte, 1) < 0) perror("read");
    (void)id;
}
static void in_receive(int id)
{
    char bytes[32];
    recv(sockets[0], bytes, sizeof bytes, id & 0);
}
static void in_poll(int id)
{
    struct pollfd set[2] = { { ends[0], POLLIN, 0 }, { sockets[0], POLLIN, 0 } };
    poll(set, 2, 10000000 + id);
}
static void in_select(int id)
{
    fd_set set;
    struct timeval span = { 10000, id };
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    select(ends[0] + 1, &set, NULL, NULL, &span);
}
static void in_epoll(int id)
{
    struct epoll_event event = { .events = EPOLLIN };
    int set = epoll_create1(0);
    epoll_ctl(set, EPOLL_CTL_ADD, sockets[0], &event);
    epoll_wait(set, &event, 1, 10000000 + id);
}
static void in_join(int id) { pthread_join(first, NULL); (void)id; }
static void in_pause(int id) { pause(); (void)id; }
static void in_signal_wait(int id)
{
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigwait(&set, &number);
    (void)id;
}
static void in_event(int id)
{
    eventfd_t value;
    eventfd_read(eventfd(0, id & 0), &value);
}
static void in_accept(int id)
{
    struct sockaddr here = { .sa_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, &here, sizeof here.sa_family); /* a name of the kernel's choice */
    listen(listener, id);
    accept(listener, NULL, NULL);
}
static void in_file_lock(int id)
{
    char name[] = "/tmp/retrace-accuracy-XXXXXX";
    int file = mkstemp(name), again = open(name, O_RDWR);
    unlink(name);
    flock(file, LOCK_EX);
    flock(again, LOCK_EX);
    (void)id;
}
static void in_getline(int id)
{
    char *line = NULL;
    size_t size = 0;
    FILE *stream = fdopen(ends[0], "r");
    getline(&line, &size, stream);
    (void)id;
}
static void in_recursion(int id)
{
    if (id > 100) in_sleep(id);
    else in_recursion(id + 10);
    __asm__ volatile("");
}

typedef void (*way)(int);
static const way WAYS[] = {
    in_mutex, in_condition, in_condition_with_timeout, in_read_lock, in_write_lock, in_barrier, in_semaphore,
    in_sleep, in_nanosleep, in_read, in_receive, in_poll, in_select, in_epoll, in_join, in_pause, in_signal_wait,
    in_event, in_accept, in_file_lock, in_getline, in_recursion,
};
enum { COUNT = sizeof WAYS / sizeof WAYS[0] };

static void *run(void *argument)
{
    long index = (long)argument;
    way wait = WAYS[index];
    wait((int)index);
    pause();
    return NULL;
}

/* True when all threads but this one sleep in the kernel. */
static int all_wait(void)
{
    int waiting = 0;
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    while ((entry = readdir(tasks))) {
        char path[300], state = 0;
        snprintf(path, sizeof path, "/proc/self/task/%.200s/stat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%*d (%*[^)]) %c", &state) == 1 && state == 'S') waiting++;
        fclose(file);
    }
    closedir(tasks);
    return waiting == COUNT;
}

int main(void)
{
    pthread_t thread;
    first = pthread_self();
    pthread_barrier_init(&barrier, NULL, 3);
    sem_init(&semaphore, 0, 0);
    pthread_mutex_lock(&lock);
    pthread_rwlock_wrlock(&shared);
    if (pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets)) return 2;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (long index = 0; index < COUNT; index++)
        if (pthread_create(&thread, NULL, run, (void *)index)) return 2;
    for (int quiet = 0; quiet < 5; quiet = all_wait() ? quiet + 1 : 0) usleep(20000);
    *(volatile int *)8 = 1;
    return 0;
}
