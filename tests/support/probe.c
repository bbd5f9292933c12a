/*
 * Reading /proc. status and schedstat have what ps shows, without the rounding to clock ticks: one renewal
 * takes less than one.
 */

#include "tests/support/probe.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/util/macro.h"

#define PATH_SIZE 320

/* The number after "NAME:" in a file of such lines; 0 when there is none. */
static uint64_t read_number(const char *path, const char *name) {
        _cleanup_(freep) char *line = NULL;
        size_t room = 0, length = strlen(name);
        uint64_t number = 0;
        FILE *file = fopen(path, "re");

        if (!file)
                return 0; /* a thread may have ended */
        while (getline(&line, &room, file) > 0)
                if (has_prefix(line, name) && line[length] == ':') {
                        number = strtoull(line + length + 1, NULL, 10);
                        break;
                }
        fclose(file);
        return number;
}

static uint64_t task_cpu_nsec(const char *path) {
        uint64_t nsec = 0;
        FILE *file = fopen(path, "re");

        if (!file)
                return 0;
        if (fscanf(file, "%" SCNu64, &nsec) != 1)
                nsec = 0;
        fclose(file);
        return nsec;
}

static uint64_t task_wakeups(const char *path) {
        return read_number(path, "voluntary_ctxt_switches");
}

/* The sum over all threads of what READ finds in their file NAME. */
static uint64_t sum_tasks(pid_t pid, const char *name, uint64_t (*read)(const char *path)) {
        char path[PATH_SIZE];
        struct dirent *entry;
        uint64_t sum = 0;
        DIR *dir;

        snprintf(path, sizeof(path), "/proc/%d/task", pid);
        dir = opendir(path);
        while (dir && (entry = readdir(dir))) {
                if (entry->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof(path), "/proc/%d/task/%s/%s", pid, entry->d_name, name);
                sum += read(path);
        }
        if (dir)
                closedir(dir);
        return sum;
}

unsigned probe_kib(pid_t pid, const char *name) {
        char path[PATH_SIZE];

        snprintf(path, sizeof(path), "/proc/%d/status", pid);
        return (unsigned)read_number(path, name);
}

uint64_t probe_cpu_nsec(pid_t pid) {
        return sum_tasks(pid, "schedstat", task_cpu_nsec);
}

double probe_busy_sec(void) {
        uint64_t user, nice, system, idle, waiting, irq, softirq, steal;
        FILE *file = fopen("/proc/stat", "re");
        int n = 0;

        if (!file)
                return 0;
        n = fscanf(file,
                   "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                   " %" SCNu64,
                   &user, &nice, &system, &idle, &waiting, &irq, &softirq, &steal);
        fclose(file);
        if (n != 8)
                return 0;
        return (double)(user + nice + system + irq + softirq + steal) / (double)sysconf(_SC_CLK_TCK);
}

uint64_t probe_wakeups(pid_t pid) {
        return sum_tasks(pid, "status", task_wakeups);
}
