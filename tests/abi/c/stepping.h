/* Interrupts a call after each single instruction: the processor's trap flag raises a signal after
 * each, and at the k-th its handler does something. */
#ifndef STEPPING_H
#define STEPPING_H
#include "check.h"
#include <signal.h>
#include <ucontext.h>

enum { TRAP_FLAG = 0x100, STEPS_MAX = 20000 };

/* What the handler does. */
static void (*at_step)(void);
static volatile long steps_left;

static void on_step(int number, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    (void)number, (void)info;
    if (--steps_left > 0)
        return;
    at_step();
    interrupted->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

/* Below the red zone, which the compiler may use. */
#define SET_FLAGS(change)                                                                 \
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t" change                        \
                     "\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::: "memory", "cc")

/* Interrupts `call` after so many instructions; whether it had that many. */
#define INTERRUPTED(steps, call)                                                          \
    (steps_left = (steps), begin_steps(), (call), end_steps(), steps_left <= 0)

static inline __attribute__((always_inline)) void begin_steps(void)
{
    SET_FLAGS("orq $0x100, (%%rsp)");
}

static inline __attribute__((always_inline)) void end_steps(void)
{
    SET_FLAGS("andq $~0x100, (%%rsp)");
}

static inline void handle_steps(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_step;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
}
#endif
