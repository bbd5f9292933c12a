#pragma once

/* A process whose output is waited for, in a program without a loop. */

#include "kube/kube-host.h"
#include "lib/kube/kube-bytes.h"

struct kube_process {
        struct kube_program program;
        struct kube_process *next, **owner; /* of the list that it is in */
        int fd;                             /* its standard output; -1: closed */
        int pid;
        usec_t deadline_usec; /* CLOCK_BOOTTIME */
        struct kube_bytes output;
        bool is_done;
};

/* Starts PROGRAM, with empty standard input, and this process's standard error. 0 or -errno. */
int kube_process_new(const struct kube_program *program, struct kube_process **ret);

/* Kills what still runs. Accepts NULL, returns NULL. */
struct kube_process *kube_process_free(struct kube_process *process);
DEFINE_CLEANUP(struct kube_process *, kube_process_free);

/* Reads what there is, and at the end or at the deadline calls the program's DONE, which may free it. */
void kube_process_step(struct kube_process *process);
