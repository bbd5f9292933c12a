/* A search through /proc/self/mem. */

#include "tests/support/memory.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

#include "tests/support/parallel.h"

struct search *search_new(void) {
        return parallel_share(sizeof(struct search));
}

void search_free(struct search *search) {
        munmap(search, sizeof(*search));
}

static unsigned search_range(struct search *search, int memory_fd, uint64_t start, uint64_t end) {
        unsigned n = 0;

        while (start < end) {
                size_t size =
                        end - start < sizeof(search->buffer) ? (size_t)(end - start) : sizeof(search->buffer);
                ssize_t got = pread(memory_fd, search->buffer, size, (off_t)start);
                char *p = search->buffer;

                if (got <= 0)
                        break;
                while ((p = memmem(p, (size_t)(search->buffer + got - p), search->needle, search->size))) {
                        n++;
                        p++;
                }
                if ((size_t)got < size || start + size == end)
                        break;
                start += size - search->size + 1;
        }
        return n;
}

unsigned search_memory(struct search *search) {
        _cleanup_(fd_closep) int memory_fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
        FILE *maps = fopen("/proc/self/maps", "re");
        char line[512];
        unsigned n = 0;

        if (!maps || memory_fd < 0)
                abort();
        while (fgets(line, sizeof(line), maps)) {
                uint64_t start, end;
                char rights[8];

                if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &start, &end, rights) != 3)
                        abort();
                /* The shadow memory of sanitizers is terabytes of nothing. */
                if (!has_prefix(rights, "rw") || strstr(line, "[stack") || end - start > UINT64_C(1) << 29 ||
                    start == (uintptr_t)search)
                        continue;
                n += search_range(search, memory_fd, start, end);
        }
        fclose(maps);
        return n;
}
