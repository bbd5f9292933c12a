#pragma once

/* Keys that are generated before anybody needs them: one at a time, by a thread that has the processor when
 * nobody else wants it. */

#include <systemd/sd-event.h>

#include "lib/util/time.h"
#include "lib/x509/key.h"

struct key_maker;
struct key_order;

/* The thread starts with the first order. 0 or -errno. */
int key_maker_new(sd_event *event, struct key_maker **ret);

/* Gives up what is under way, and ends the thread. No key is to be had any more. */
void key_maker_stop(struct key_maker *maker);

/* There may be no orders any more. Accepts NULL, returns NULL. */
struct key_maker *key_maker_free(struct key_maker *maker);
DEFINE_CLEANUP(struct key_maker *, key_maker_free);

/* Orders an RSA key of BITS, in turn. DONE is called from the loop when it is there, was taken meanwhile, or
 * could not be generated; never from here. NULL when memory is out. */
struct key_order *key_order_new(struct key_maker *maker, unsigned bits, void (*done)(void *userdata),
                                void *userdata);

/* Whoever ordered it does not want it any more: DONE is not called, and what is under way is given up.
 * Releases ORDER. Accepts NULL, returns NULL. */
struct key_order *key_order_cancel(struct key_order *order);

/* Another user of ORDER, from the loop's thread; NULL has none. An order is freed with its last user. */
struct key_order *key_order_ref(struct key_order *order);
struct key_order *key_order_unref(struct key_order *order);

/*
 * The key is needed now: for a worker's thread. True: it is there, *RET is owned. If it is being generated,
 * its thread gets the priority of a worker, and is waited for. Where the system refuses that (SCHED_IDLE may
 * have to wait for as long as others compute), where it is smaller than BITS, where its turn has not come
 * yet, or it was taken before: false, and what is under way is given up. The caller makes its own.
 */
bool key_order_take(struct key_order *order, unsigned bits, struct key **ret);

/* What it has cost, once DONE was called. */
usec_t key_order_cpu_usec(const struct key_order *order);
