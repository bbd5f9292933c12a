/*
 * Processes are started by posix_spawn(), which does not copy the daemon's memory. Their ends are awaited in
 * one place, by waitpid() for any child: whoever is process 1 of a container, or was put in the place of a
 * shell, also has children that it never started, and they stay zombies until it reaps them.
 *
 * A child is kept for as long as there is something to do for it: until the process has ended, until its
 * group has when it is stopped, and until its output is closed. So nobody dies of a pipe that nobody reads,
 * and none of them is told by SIGKILL alone.
 */

#include "daemon/loop/children.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/util/log.h"

/* The kernel does not report the end of a group: it is looked at this often while it is stopped. */
#define LOOK_EVERY_USEC (20 * USEC_PER_MSEC)

/* Nobody can end a process that hangs in the kernel. */
#define KILLED_USEC USEC_PER_SEC

/* What is dropped is read so many times in so long: a process in the background that floods waits for it. */
#define DROPS_INTERVAL_USEC (100 * USEC_PER_MSEC)
#define DROPS               16u

#define READ_SIZE 4096u
/* A pipe holds 64 KiB: what was written before the end. */
#define READS_AT_END 16u

struct child {
        struct children *owner;
        struct child *next, **pprev;

        struct child_options options; /* of those only the functions; NULL: released */
        pid_t pid;                    /* and the number of the group */
        int status;
        bool is_reaped;
        bool has_ended; /* reaped, and if it was stopped the group is gone */

        usec_t kill_usec; /* CLOCK_MONOTONIC; 0: it is not being stopped */
        sd_event_source *timer;

        int output_fd; /* -1: closed at the other end */
        sd_event_source *output;
};

struct children {
        sd_event *event;
        sd_event_source *signal;
        struct child *first, **end; /* oldest first */
        unsigned n_left;            /* those that have ended, and whose output is still read */
        bool is_closing;            /* the loop has ended */
};

/* --- The list --- */

static void list_append(struct children *children, struct child *child) {
        child->owner = children;
        child->pprev = children->end;
        *children->end = child;
        children->end = &child->next;
}

static void list_remove(struct child *child) {
        *child->pprev = child->next;
        if (child->next)
                child->next->pprev = child->pprev;
        else
                child->owner->end = child->pprev;
}

static struct child *find_running(const struct children *children, pid_t pid) {
        struct child *child = children->first;

        while (child && (child->is_reaped || child->pid != pid))
                child = child->next;
        return child;
}

static bool is_left(const struct child *child) {
        return child->has_ended && !child->options.ended;
}

static void child_free(struct child *child) {
        if (is_left(child))
                child->owner->n_left--;
        list_remove(child);
        sd_event_source_disable_unref(child->timer);
        sd_event_source_disable_unref(child->output);
        fd_close(child->output_fd);
        free(child);
}

/* --- Output --- */

static void close_output(struct child *child) {
        child->output = sd_event_source_disable_unref(child->output);
        child->output_fd = fd_close(child->output_fd);
}

/* One read. Whether there may be more. */
static bool read_output(struct child *child) {
        char buffer[READ_SIZE];
        ssize_t n = read(child->output_fd, buffer, sizeof(buffer));

        if (n > 0 && child->options.output && !child->has_ended)
                child->options.output(buffer, (size_t)n, child->options.userdata);
        if (n == 0)
                close_output(child);
        return n > 0;
}

static void read_what_is_there(struct child *child) {
        for (unsigned i = 0; i < READS_AT_END && child->output_fd >= 0 && read_output(child); i++)
                ;
}

static int on_output(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents,
                     void *userdata) {
        struct child *child = userdata;

        (void)read_output(child);
        if (child->output_fd < 0 && is_left(child))
                child_free(child);
        return 0;
}

static void close_oldest(struct children *children) {
        struct child *child = children->first;

        while (child && !is_left(child))
                child = child->next;
        if (!child)
                return;
        log_warning(
                "process group %d: its output is not read any more, since processes in the background hold "
                "more than %u pipes open",
                child->pid, CHILDREN_LEFT_MAX);
        child_free(child);
}

/* It has ended, and nobody is interested in it. */
static void leave(struct child *child) {
        struct children *children = child->owner;

        children->n_left++;
        if (child->output_fd < 0 || children->is_closing) {
                child_free(child);
                return;
        }
        (void)sd_event_source_set_ratelimit(child->output, DROPS_INTERVAL_USEC, DROPS);
        if (children->n_left > CHILDREN_LEFT_MAX)
                close_oldest(children);
}

/* --- The end --- */

/* The child may be freed. */
static void end(struct child *child) {
        child->timer = sd_event_source_disable_unref(child->timer);
        if (child->output_fd >= 0)
                read_what_is_there(child);
        child->has_ended = true;
        if (child->options.ended)
                child->options.ended(child->status, child->options.userdata);
        else
                leave(child);
}

static bool is_group_gone(const struct child *child) {
        return kill(-child->pid, 0) < 0 && errno == ESRCH;
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata);

/* Once the loop has ended, children_free() looks. */
static void look_again(struct child *child, usec_t wait_usec) {
        sd_event *event = child->owner->event;

        if (sd_event_get_state(event) == SD_EVENT_FINISHED)
                return;
        child->timer = sd_event_source_disable_unref(child->timer);
        if (sd_event_add_time_relative(event, &child->timer, CLOCK_MONOTONIC, wait_usec, USEC_PER_MSEC,
                                       on_look, child) < 0)
                (void)kill(-child->pid, SIGKILL); /* without memory for a grace */
}

/* What has become of a group that is being stopped. The child may be freed.
 *
 * Until the leader is reaped, the number of the group is its own. Afterwards another group could have it only
 * once all numbers have been used since the last look. */
static void look(struct child *child) {
        const usec_t left = usec_sub(child->kill_usec, now_usec(CLOCK_MONOTONIC));

        if (left == 0)
                (void)kill(-child->pid, SIGKILL);
        if (child->is_reaped && (left == 0 || is_group_gone(child)))
                end(child);
        else if (child->is_reaped)
                look_again(child, LOOK_EVERY_USEC);
        else if (left > 0)
                look_again(child, left);
}

static int on_look(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        look(userdata);
        return 0;
}

static void reap(struct children *children) {
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                struct child *child = find_running(children, pid);

                if (!child)
                        continue; /* an orphan */
                child->is_reaped = true;
                child->status = status;
                if (child->kill_usec > 0)
                        look(child);
                else
                        end(child);
        }
}

static int on_signal(_unused_ sd_event_source *source, _unused_ const struct signalfd_siginfo *info,
                     void *userdata) {
        reap(userdata);
        return 0;
}

void child_stop(struct child *child) {
        if (child->has_ended || child->kill_usec > 0)
                return;
        (void)kill(-child->pid, SIGTERM);
        child->kill_usec = usec_add(now_usec(CLOCK_MONOTONIC), CHILD_GRACE_USEC);
        look_again(child, CHILD_GRACE_USEC);
}

struct child *child_release(struct child *child) {
        if (!child)
                return NULL;
        child->options = (struct child_options) { 0 };
        if (child->has_ended)
                leave(child);
        else
                child_stop(child);
        return NULL;
}

/* --- The beginning --- */

static int spawn(const struct child_options *options, int output_fd, pid_t *ret_pid) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, all;
        int r;

        sigemptyset(&none);
        sigfillset(&all);
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);

        r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
        if (r == 0 && options->drops_errors)
                r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        else if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
        if (r == 0)
                r = posix_spawn_file_actions_addchdir_np(&actions, "/");
        if (r == 0)
                r = posix_spawnattr_setsigmask(&attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(&attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                                  POSIX_SPAWN_SETSIGDEF);
        if (r == 0)
                r = posix_spawn(ret_pid, options->command[0], &actions, &attributes, options->command,
                                options->environment);

        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
        return -r;
}

int child_start(struct children *children, const struct child_options *options, struct child **ret) {
        _cleanup_(fd_closep) int write_fd = -1;
        struct child *child;
        int fds[2], r;

        child = calloc(1, sizeof(*child));
        if (!child)
                return -ENOMEM;
        child->output_fd = -1;
        list_append(children, child);
        if (pipe2(fds, O_CLOEXEC) < 0) {
                r = -errno;
                goto failed;
        }
        child->output_fd = fds[0];
        write_fd = fds[1];
        if (fcntl(child->output_fd, F_SETFL, O_NONBLOCK) < 0) {
                r = -errno;
                goto failed;
        }
        r = sd_event_add_io(children->event, &child->output, child->output_fd, EPOLLIN, on_output, child);
        if (r < 0)
                goto failed;
        r = spawn(options, write_fd, &child->pid);
        if (r < 0)
                goto failed;
        child->options = *options;
        *ret = child;
        return 0;

failed:
        child_free(child);
        return r;
}

int children_new(sd_event *event, struct children **ret) {
        struct children *children = calloc(1, sizeof(*children));
        int r;

        if (!children)
                return -ENOMEM;
        children->event = sd_event_ref(event);
        children->end = &children->first;
        r = sd_event_add_signal(event, &children->signal, SIGCHLD, on_signal, children);
        if (r < 0) {
                children_free(children);
                return r;
        }
        reap(children); /* what this process was born with */
        *ret = children;
        return 0;
}

static void wait_for_signal(usec_t wait_usec) {
        const struct timespec wait = { .tv_nsec = (long)(wait_usec * 1000) };
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        (void)sigtimedwait(&set, NULL, &wait);
}

/* Looks at all that are being stopped; how many there still are. */
static unsigned look_at_all(struct children *children) {
        const usec_t now = now_usec(CLOCK_MONOTONIC);
        unsigned n = 0;

        reap(children);
        for (struct child *child = children->first, *next; child; child = next) {
                next = child->next;
                if (child->output_fd >= 0)
                        read_what_is_there(child);
                if (child->has_ended || now >= usec_add(child->kill_usec, KILLED_USEC))
                        child_free(child);
                else
                        look(child);
        }
        for (const struct child *child = children->first; child; child = child->next)
                n++;
        return n;
}

struct children *children_free(struct children *children) {
        unsigned n;

        if (!children)
                return NULL;
        children->is_closing = true;
        n = look_at_all(children);
        if (n > 0)
                log_info("waiting for %u command%s to end", n, n == 1 ? "" : "s");
        while (n > 0) {
                wait_for_signal(LOOK_EVERY_USEC);
                n = look_at_all(children);
        }
        sd_event_source_disable_unref(children->signal);
        sd_event_unref(children->event);
        free(children);
        return NULL;
}
