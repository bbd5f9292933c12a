#pragma once

/* Who hears of what happens, and what is counted. Borrowed. */

struct events;
struct metrics;

struct observers {
        struct events *events;
        struct metrics *metrics;
};
