#include "kube/kube-process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "lib/kubeconfig/kube-exec.h"

static int spawn(const struct kube_program *program, int fd, int *ret_pid) {
        posix_spawn_file_actions_t actions;
        pid_t pid;
        int r;

        posix_spawn_file_actions_init(&actions);
        r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
        if (r == 0)
                r = posix_spawnp(&pid, program->command[0], &actions, NULL, program->command,
                                 program->environment);
        posix_spawn_file_actions_destroy(&actions);
        if (r == 0)
                *ret_pid = (int)pid;
        return -r;
}

int kube_process_new(const struct kube_program *program, struct kube_process **ret) {
        _cleanup_(kube_process_freep) struct kube_process *process = calloc(1, sizeof(*process));
        _cleanup_(fd_closep) int write_fd = -1;
        int fds[2], r;

        if (!process)
                return -ENOMEM;
        process->program = *program;
        process->fd = -1;
        process->deadline_usec = usec_add(now_usec(CLOCK_BOOTTIME), KUBE_PROGRAM_USEC);
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        process->fd = fds[0];
        write_fd = fds[1];
        if (fcntl(process->fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        r = spawn(program, write_fd, &process->pid);
        if (r < 0)
                return r;
        *ret = take_ptr(process);
        return 0;
}

/* The exit status, as waitpid() has it. */
static int reap(struct kube_process *process) {
        int status = -1;

        while (process->pid > 0 && waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
                ;
        process->pid = 0;
        return status;
}

struct kube_process *kube_process_free(struct kube_process *process) {
        if (!process)
                return NULL;
        if (process->pid > 0)
                (void)kill(process->pid, SIGKILL);
        (void)reap(process);
        fd_close(process->fd);
        kube_bytes_clear(&process->output);
        free(process);
        return NULL;
}

static void fail(struct kube_process *process, int r, const char *text) {
        process->is_done = true;
        process->program.done(r, NULL, 0, text, process->program.userdata);
}

/* Its output is closed: it ends now, or is not waited for. The process may be freed. */
static void end(struct kube_process *process) {
        char text[64];
        int status;

        status = reap(process);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
                process->is_done = true;
                process->program.done(0, process->output.data ? process->output.data : "",
                                      process->output.size, NULL, process->program.userdata);
                return;
        }
        snprintf(text, sizeof(text), WIFSIGNALED(status) ? "was ended by signal %d" : "ended with status %d",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        fail(process, -EIO, text);
}

void kube_process_step(struct kube_process *process) {
        char buffer[4096];
        ssize_t n = 0;
        int r = 0;

        while (r == 0 && (n = read(process->fd, buffer, sizeof(buffer))) > 0)
                r = kube_bytes_add(&process->output, buffer, (size_t)n, KUBE_EXEC_OUTPUT_MAX);
        explicit_bzero(buffer, sizeof(buffer));
        if (r < 0)
                fail(process, r, "writes more than a credential");
        else if (n == 0)
                end(process);
        else if (now_usec(CLOCK_BOOTTIME) >= process->deadline_usec)
                fail(process, -ETIMEDOUT, "has not ended in time");
}
