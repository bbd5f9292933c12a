/*
 * A signal to a process that is known by its pid file. The number in such a file outlives the process, so the
 * process is pinned by a pidfd first; then the file must still name it, and the process must be older than
 * the file.
 */

#include "daemon/delivery/delivery.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

/* /proc counts in clock ticks, files in the kernel's coarse clock: either may be a tick behind. */
#define AGE_TOLERANCE_USEC (2 * USEC_PER_SEC)

static int read_pid_file(const char *path, pid_t *ret_pid, usec_t *ret_modified_usec, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        _cleanup_(freep) char *text = NULL;
        struct stat st;
        uint64_t pid;
        int r;

        fd = file_open_at(AT_FDCWD, path, FILE_FOLLOW);
        if (fd < 0)
                return error_set_errno(error, fd, "cannot open pid file %s", path);
        if (fstat(fd, &st) < 0)
                return error_set_errno(error, -errno, "cannot inspect pid file %s", path);
        r = fd_read_all(fd, 4096, &text, NULL);
        if (r < 0)
                return error_set_errno(error, r, "cannot read pid file %s", path);
        text[strcspn(text, " \t\r\n")] = '\0';
        if (parse_unsigned(text, 2, INT32_MAX, &pid) < 0)
                return error_set(error, -EINVAL, "pid file %s does not begin with a process id", path);

        *ret_pid = (pid_t)pid;
        *ret_modified_usec = (usec_t)st.st_mtim.tv_sec * USEC_PER_SEC + (usec_t)st.st_mtim.tv_nsec / 1000;
        return 0;
}

/* When the process was started, on CLOCK_REALTIME: field 22 of /proc/PID/stat (proc(5)), in ticks since boot.
 * The command name, field 2, may hold blanks and parentheses: count from its last one. */
static int read_start_time(pid_t pid, usec_t *ret_usec) {
        _cleanup_(freep) char *text = NULL;
        unsigned long long ticks;
        usec_t since_boot;
        char path[64];
        const char *p;
        int r;

        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        r = file_read_at(AT_FDCWD, path, FILE_FOLLOW, 4096, &text, NULL);
        if (r < 0)
                return r;
        p = strrchr(text, ')');
        if (!p ||
            sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                   &ticks) != 1)
                return -EBADMSG;

        since_boot = (usec_t)ticks * USEC_PER_SEC / (usec_t)sysconf(_SC_CLK_TCK);
        *ret_usec = usec_add(usec_sub(now_usec(CLOCK_REALTIME), now_usec(CLOCK_BOOTTIME)), since_boot);
        return 0;
}

int delivery_send_signal(_unused_ struct loop_services *services, const struct config_notify *config,
                         _unused_ const struct notice *notice, _unused_ delivery_done_t done,
                         _unused_ void *userdata, _unused_ struct delivery **ret, struct error *error) {
        _cleanup_(fd_closep) int pid_fd = -1;
        usec_t modified_usec, started_usec;
        pid_t pid, again;
        int r;

        r = read_pid_file(config->pid_file, &pid, &modified_usec, error);
        if (r < 0)
                return r;
        pid_fd = pidfd_open(pid, 0);
        if (pid_fd < 0)
                return error_set_errno(error, -errno, "cannot reach process %d, named by pid file %s", pid,
                                       config->pid_file);

        r = read_start_time(pid, &started_usec);
        if (r < 0)
                return error_set_errno(error, r, "cannot tell the age of process %d, named by pid file %s",
                                       pid, config->pid_file);
        if (started_usec > usec_add(modified_usec, AGE_TOLERANCE_USEC))
                return error_set(
                        error, -ESRCH,
                        "process %d is younger than pid file %s: it is another process with the same "
                        "id, or the clock was set meanwhile; a restart of the dependent writes the "
                        "file again",
                        pid, config->pid_file);
        r = read_pid_file(config->pid_file, &again, &modified_usec, error);
        if (r < 0)
                return r;
        if (again != pid)
                return error_set(error, -EAGAIN, "pid file %s changed while it was read", config->pid_file);

        if (pidfd_send_signal(pid_fd, config->signal, NULL, 0) < 0)
                return error_set_errno(error, -errno, "cannot send SIG%s to process %d, named by pid file %s",
                                       sigabbrev_np(config->signal), pid, config->pid_file);
        return 0;
}
