/*
 * A tracer for programs with threads, whose calls no counter of strace's can number: it counts for each
 * thread by itself. Here all threads stop at the same tracer, which so sees their calls in one order, and
 * decides at the entry of each what becomes of it. A call is taken away from the kernel by giving it a number
 * that does not exist; its result is put in when it leaves.
 *
 * x86-64 only: the registers of a call have other names elsewhere.
 */

#include "tests/crash/tracer.h"

#include <errno.h>

#ifdef __x86_64__

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "lib/util/files.h"
#include "tests/support/process.h"

#define OUTPUT_MAX (4u * 1024 * 1024)

/* Where a call names files: the arguments that are descriptors, and paths relative to them; from 1, 0: none.
 */
struct call {
        const char *name;
        unsigned char fd, path, other_fd, other_path;
        unsigned char open_flags; /* the argument, from 1 */
        bool changes, can_fail;
};

#define ON_FD          .fd = 1
#define ON_PATH        .path = 1
#define ON_AT          .fd = 1, .path = 2
#define CHANGES        .changes = true
#define CAN_FAIL       .changes = true, .can_fail = true
#define HARMLESS(what) [SYS_##what] = { .name = #what }

/* What a call can do to the world outside of the process. One that is not here is taken for one that changes
 * something. */
static const struct call calls[] = {
        [SYS_open] = { "open", ON_PATH, .open_flags = 2, .can_fail = true },
        [SYS_openat] = { "openat", ON_AT, .open_flags = 3, .can_fail = true },
        [SYS_creat] = { "creat", ON_PATH, CAN_FAIL },
        [SYS_write] = { "write", ON_FD, CAN_FAIL },
        [SYS_pwrite64] = { "pwrite64", ON_FD, CAN_FAIL },
        [SYS_writev] = { "writev", ON_FD, CAN_FAIL },
        [SYS_pwritev] = { "pwritev", ON_FD, CAN_FAIL },
        [SYS_sendfile] = { "sendfile", ON_FD, CAN_FAIL },
        [SYS_splice] = { "splice", ON_FD, .other_fd = 3, CAN_FAIL },
        [SYS_copy_file_range] = { "copy_file_range", ON_FD, .other_fd = 3, CAN_FAIL },
        [SYS_ftruncate] = { "ftruncate", ON_FD, CAN_FAIL },
        [SYS_truncate] = { "truncate", ON_PATH, CAN_FAIL },
        [SYS_fallocate] = { "fallocate", ON_FD, CAN_FAIL },
        [SYS_fsync] = { "fsync", ON_FD, CAN_FAIL },
        [SYS_fdatasync] = { "fdatasync", ON_FD, CAN_FAIL },
        [SYS_sync_file_range] = { "sync_file_range", ON_FD, CAN_FAIL },
        [SYS_rename] = { "rename", ON_PATH, .other_path = 2, CAN_FAIL },
        [SYS_renameat] = { "renameat", ON_AT, .other_fd = 3, .other_path = 4, CAN_FAIL },
        [SYS_renameat2] = { "renameat2", ON_AT, .other_fd = 3, .other_path = 4, CAN_FAIL },
        [SYS_link] = { "link", ON_PATH, .other_path = 2, CAN_FAIL },
        [SYS_linkat] = { "linkat", ON_AT, .other_fd = 3, .other_path = 4, CAN_FAIL },
        [SYS_symlink] = { "symlink", .path = 2, CAN_FAIL },
        [SYS_symlinkat] = { "symlinkat", .fd = 2, .path = 3, CAN_FAIL },
        [SYS_mkdir] = { "mkdir", ON_PATH, CAN_FAIL },
        [SYS_mkdirat] = { "mkdirat", ON_AT, CAN_FAIL },
        [SYS_unlink] = { "unlink", ON_PATH, CAN_FAIL },
        [SYS_unlinkat] = { "unlinkat", ON_AT, CAN_FAIL },
        [SYS_rmdir] = { "rmdir", ON_PATH, CAN_FAIL },
        [SYS_chmod] = { "chmod", ON_PATH, CAN_FAIL },
        [SYS_fchmod] = { "fchmod", ON_FD, CAN_FAIL },
        [SYS_fchmodat] = { "fchmodat", ON_AT, CAN_FAIL },
        [SYS_chown] = { "chown", ON_PATH, CAN_FAIL },
        [SYS_lchown] = { "lchown", ON_PATH, CAN_FAIL },
        [SYS_fchown] = { "fchown", ON_FD, CAN_FAIL },
        [SYS_fchownat] = { "fchownat", ON_AT, CAN_FAIL },
        [SYS_utimensat] = { "utimensat", ON_AT, CHANGES },
        [SYS_flock] = { "flock", ON_FD, CHANGES },
        [SYS_fcntl] = { "fcntl", ON_FD },
        [SYS_read] = { "read", ON_FD },
        [SYS_pread64] = { "pread64", ON_FD },
        [SYS_lseek] = { "lseek", ON_FD },
        [SYS_close] = { "close", ON_FD },
        [SYS_fstat] = { "fstat", ON_FD },
        [SYS_stat] = { "stat", ON_PATH },
        [SYS_lstat] = { "lstat", ON_PATH },
        [SYS_newfstatat] = { "newfstatat", ON_AT },
        [SYS_statx] = { "statx", ON_AT },
        [SYS_access] = { "access", ON_PATH },
        [SYS_faccessat] = { "faccessat", ON_AT },
        [SYS_faccessat2] = { "faccessat2", ON_AT },
        [SYS_readlink] = { "readlink", ON_PATH },
        [SYS_readlinkat] = { "readlinkat", ON_AT },
        [SYS_getdents64] = { "getdents64", ON_FD },
        [SYS_statfs] = { "statfs", ON_PATH },
        [SYS_fstatfs] = { "fstatfs", ON_FD },
        [SYS_connect] = { "connect", ON_FD, CHANGES },
        [SYS_sendto] = { "sendto", ON_FD, CHANGES },
        [SYS_sendmsg] = { "sendmsg", ON_FD, CHANGES },
        [SYS_sendmmsg] = { "sendmmsg", ON_FD, CHANGES },
        [SYS_recvfrom] = { "recvfrom", ON_FD },
        [SYS_recvmsg] = { "recvmsg", ON_FD },
        [SYS_shutdown] = { "shutdown", ON_FD, CHANGES },
        [SYS_bind] = { "bind", ON_FD, CHANGES },
        [SYS_clone] = { "clone", CHANGES },
        [SYS_clone3] = { "clone3", CHANGES },
        [SYS_fork] = { "fork", CHANGES },
        [SYS_vfork] = { "vfork", CHANGES },
        [SYS_execve] = { "execve", ON_PATH, CHANGES },
        [SYS_kill] = { "kill", CHANGES },
        [SYS_tgkill] = { "tgkill", CHANGES },
        [SYS_pidfd_send_signal] = { "pidfd_send_signal", CHANGES },
        [SYS_ioctl] = { "ioctl", ON_FD, CHANGES },
        [SYS_exit_group] = { "exit_group", CHANGES },
        HARMLESS(exit),
        HARMLESS(getpid),
        HARMLESS(gettid),
        HARMLESS(getuid),
        HARMLESS(geteuid),
        HARMLESS(getgid),
        HARMLESS(getegid),
        HARMLESS(getppid),
        HARMLESS(futex),
        HARMLESS(poll),
        HARMLESS(ppoll),
        HARMLESS(epoll_create1),
        HARMLESS(epoll_ctl),
        HARMLESS(epoll_wait),
        HARMLESS(epoll_pwait),
        HARMLESS(eventfd2),
        HARMLESS(timerfd_create),
        HARMLESS(timerfd_settime),
        HARMLESS(timerfd_gettime),
        HARMLESS(signalfd4),
        HARMLESS(inotify_init1),
        HARMLESS(inotify_add_watch),
        HARMLESS(inotify_rm_watch),
        HARMLESS(pipe2),
        HARMLESS(dup),
        HARMLESS(dup2),
        HARMLESS(dup3),
        HARMLESS(socket),
        HARMLESS(socketpair),
        HARMLESS(getsockname),
        HARMLESS(getpeername),
        HARMLESS(getsockopt),
        HARMLESS(setsockopt),
        HARMLESS(mmap),
        HARMLESS(mremap),
        HARMLESS(munmap),
        HARMLESS(mprotect),
        HARMLESS(madvise),
        HARMLESS(brk),
        HARMLESS(memfd_create),
        HARMLESS(getrandom),
        HARMLESS(clock_gettime),
        HARMLESS(clock_nanosleep),
        HARMLESS(gettimeofday),
        HARMLESS(rt_sigaction),
        HARMLESS(rt_sigprocmask),
        HARMLESS(rt_sigreturn),
        HARMLESS(rt_sigtimedwait),
        HARMLESS(sigaltstack),
        HARMLESS(sched_yield),
        HARMLESS(sched_getaffinity),
        HARMLESS(setpriority),
        HARMLESS(set_robust_list),
        HARMLESS(set_tid_address),
        HARMLESS(rseq),
        HARMLESS(arch_prctl),
        HARMLESS(prctl),
        HARMLESS(prlimit64),
        HARMLESS(uname),
        HARMLESS(sysinfo),
        HARMLESS(umask),
        HARMLESS(restart_syscall),
        HARMLESS(pidfd_open),
        HARMLESS(wait4),
        HARMLESS(waitid),
        HARMLESS(fadvise64),
};

struct tracer {
        const struct trace_plan *plan;
        struct trace *trace;
        pid_t leader;
        bool has_begun;

        /* A call that is not executed, and what it returns. */
        pid_t answered;
        long answer;
};

void trace_clear(struct trace *trace) {
        free(trace->point);
        free(trace->output);
        *trace = (struct trace) { 0 };
}

/* --- Files that a call names --- */

static void read_string(pid_t tid, uint64_t address, char ret[PATH_MAX]) {
        size_t first = 4096 - address % 4096;
        struct iovec local = { ret, PATH_MAX - 1 };
        /* The page after the string may not exist. */
        const struct iovec remote[] = {
                { (void *)(uintptr_t)address, first },
                { (void *)(uintptr_t)(address + first), PATH_MAX - 1 - first },
        };
        ssize_t n = process_vm_readv(tid, &local, 1, remote, ELEMENTSOF(remote), 0);

        ret[n > 0 ? n : 0] = '\0';
}

static void read_link(pid_t tid, const char *what, char ret[PATH_MAX]) {
        char name[64];
        ssize_t n;

        snprintf(name, sizeof(name), "/proc/%d/%s", tid, what);
        n = readlink(name, ret, PATH_MAX - 1);
        ret[n > 0 ? n : 0] = '\0';
}

/* The file of the arguments FD and PATH, which count from 1. Links and dots stay as they are. */
static void file_of(pid_t tid, const uint64_t *args, unsigned fd, unsigned path, char ret[PATH_MAX]) {
        char folder[PATH_MAX], name[PATH_MAX] = "", what[32];

        *ret = '\0';
        if (path > 0)
                read_string(tid, args[path - 1], name);
        if (*name == '/') {
                strcpy(ret, name);
                return;
        }
        if (fd > 0 && (int)args[fd - 1] != AT_FDCWD)
                snprintf(what, sizeof(what), "fd/%d", (int)args[fd - 1]);
        else
                strcpy(what, "cwd");
        if (fd > 0 || path > 0) {
                read_link(tid, what, folder);
                if (snprintf(ret, PATH_MAX, "%s%s%s", folder, *name ? "/" : "", name) >= PATH_MAX)
                        *ret = '\0';
        }
}

static bool is_below(const char *path, const char *root) {
        size_t n = strlen(root);

        return strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool names_root(const struct tracer *tracer, const struct call *call, pid_t tid,
                       const uint64_t *args) {
        char path[PATH_MAX];

        file_of(tid, args, call->fd, call->path, path);
        if (is_below(path, tracer->plan->root))
                return true;
        file_of(tid, args, call->other_fd, call->other_path, path);
        return is_below(path, tracer->plan->root);
}

static char *describe(const struct call *call, uint64_t number, pid_t tid, const uint64_t *args) {
        char one[PATH_MAX], other[PATH_MAX], *text;
        int n;

        if (!call->name)
                n = asprintf(&text, "system call %" PRIu64, number);
        else {
                file_of(tid, args, call->fd, call->path, one);
                file_of(tid, args, call->other_fd, call->other_path, other);
                n = asprintf(&text, "%s%s%s%s%s", call->name, *one ? " " : "", one, *other ? " " : "", other);
        }
        return n < 0 ? NULL : text;
}

/* --- Calls --- */

static void set_register(pid_t tid, size_t offset, long value) {
        (void)ptrace(PTRACE_POKEUSER, tid, offset, value);
}

static void answer(struct tracer *tracer, pid_t tid, long result) {
        set_register(tid, offsetof(struct user_regs_struct, orig_rax), -1);
        tracer->answered = tid;
        tracer->answer = result;
}

static void come_to_point(struct tracer *tracer, const struct call *call, uint64_t number, pid_t tid,
                          const uint64_t *args) {
        tracer->trace->was_reached = true;
        tracer->trace->point = describe(call, number, tid, args);
        answer(tracer, tid, -tracer->plan->error);
        if (tracer->plan->error == 0)
                (void)kill(tracer->leader, SIGKILL);
}

static void on_entry(struct tracer *tracer, pid_t tid, uint64_t number, const uint64_t *args) {
        static const struct call unknown;
        const struct call *call = number < ELEMENTSOF(calls) ? &calls[number] : &unknown;
        const struct trace_plan *plan = tracer->plan;
        struct trace *trace = tracer->trace;
        struct trace_call seen = { 0 };
        bool changes = call->changes || !call->name, is_ours = false;

        /* Undumpable, it could be looked into by root only. */
        if (number == SYS_prctl && args[0] == PR_SET_DUMPABLE) {
                answer(tracer, tid, 0);
                return;
        }
        if (call->can_fail || (!tracer->has_begun && (call->fd > 0 || call->path > 0)))
                is_ours = names_root(tracer, call, tid, args);
        tracer->has_begun = tracer->has_begun || is_ours;
        if (!tracer->has_begun)
                return;

        if (call->open_flags > 0) {
                seen.only_reads = (args[call->open_flags - 1] & (O_ACCMODE | O_CREAT | O_TRUNC)) == O_RDONLY;
                changes = !seen.only_reads;
        }
        seen.is[TRACE_ANY] = true;
        seen.is[TRACE_CHANGING] = changes;
        seen.is[TRACE_FAILABLE] = call->can_fail && is_ours;
        for (size_t i = 0; i < TRACE_KIND_MAX; i++)
                trace->counts[i] += seen.is[i];
        if (plan->seen)
                plan->seen(&seen, plan->userdata);
        if (seen.is[plan->kind] && trace->counts[plan->kind] == plan->at)
                come_to_point(tracer, call, number, tid, args);
}

static void on_call(struct tracer *tracer, pid_t tid) {
        struct __ptrace_syscall_info info;

        /* It may be dead already: then there is nothing to decide. */
        if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0)
                return;
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
                on_entry(tracer, tid, info.entry.nr, info.entry.args);
        else if (info.op == PTRACE_SYSCALL_INFO_EXIT && tracer->answered == tid) {
                set_register(tid, offsetof(struct user_regs_struct, rax), tracer->answer);
                tracer->answered = 0;
        }
}

/* --- The program --- */

static void on_stop(struct tracer *tracer, pid_t tid, int status) {
        int signal = WSTOPSIG(status);

        if (signal == (SIGTRAP | 0x80))
                on_call(tracer, tid);
        if (signal == (SIGTRAP | 0x80) || status >> 16 != 0)
                signal = 0; /* no signal but an event of ptrace's */
        (void)ptrace(PTRACE_SYSCALL, tid, 0, signal);
}

static volatile sig_atomic_t has_rung;

static void on_alarm(_unused_ int signal) {
        has_rung = 1;
}

/* Until it has ended, and whatever it leaves behind has. */
static void follow(struct tracer *tracer) {
        const struct sigaction action = { .sa_handler = on_alarm };
        int status;
        pid_t pid;

        has_rung = 0;
        sigaction(SIGALRM, &action, NULL);
        alarm((unsigned)(patience_usec() / USEC_PER_SEC));
        for (;;) {
                pid = waitpid(-1, &status, __WALL);
                if (pid < 0 && errno == EINTR && has_rung && tracer->leader > 0) {
                        (void)kill(tracer->leader, SIGKILL);
                        tracer->trace->status = 255;
                } else if (pid < 0 && errno != EINTR)
                        break;
                else if (pid > 0 && WIFSTOPPED(status))
                        on_stop(tracer, pid, status);
                else if (pid > 0 && pid == tracer->leader) {
                        tracer->leader = 0;
                        if (tracer->trace->status == 0)
                                tracer->trace->status =
                                        WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
                }
        }
        alarm(0);
}

/* In the child: waits until it is traced. */
static void become(const char *const *argv, const int gate[2], int output_fd) {
        char byte;

        close(gate[1]);
        dup2(output_fd, STDOUT_FILENO);
        dup2(output_fd, STDERR_FILENO);
        if (read(gate[0], &byte, 1) == 1)
                execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
}

int trace_run(const char *const *argv, const struct trace_plan *plan, struct trace *ret) {
        _cleanup_(trace_clear) struct trace trace = { 0 };
        struct tracer tracer = { .plan = plan, .trace = &trace };
        _cleanup_(fd_closep) int output_fd = memfd_create("output", MFD_CLOEXEC);
        int gate[2], r = 0;

        if (output_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || pipe2(gate, O_CLOEXEC) < 0)
                return -errno;
        tracer.leader = fork();
        if (tracer.leader == 0)
                become(argv, gate, output_fd);
        close(gate[0]);
        if (tracer.leader < 0 ||
            ptrace(PTRACE_SEIZE, tracer.leader, 0,
                   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) < 0)
                r = -errno;
        else if (write(gate[1], "", 1) != 1)
                r = -errno;
        close(gate[1]);
        if (tracer.leader > 0)
                follow(&tracer);
        if (r < 0)
                return r;

        if (lseek(output_fd, 0, SEEK_SET) < 0)
                return -errno;
        r = fd_read_all(output_fd, OUTPUT_MAX, &trace.output, NULL);
        if (r < 0)
                return r;
        *ret = trace;
        trace = (struct trace) { 0 };
        return 0;
}

#else

void trace_clear(_unused_ struct trace *trace) {
}

int trace_run(_unused_ const char *const *argv, _unused_ const struct trace_plan *plan,
              _unused_ struct trace *ret) {
        return -ENOTSUP;
}

#endif

size_t trace_failures(const struct trace_call *call, unsigned at,
                      struct trace_point ret[TRACE_FAILURES_MAX]) {
        static const struct {
                const char *name;
                int error;
        } failures[TRACE_FAILURES_MAX] = {
                { "ENOSPC", ENOSPC },
                { "EIO", EIO },
                { "EACCES", EACCES },
                { "EMFILE", EMFILE },
        };
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                if (call->only_reads && failures[i].error == ENOSPC)
                        continue; /* to open a file that exists needs no space */
                ret[n++] = (struct trace_point) { TRACE_FAILABLE, at, failures[i].name, failures[i].error };
        }
        return n;
}
