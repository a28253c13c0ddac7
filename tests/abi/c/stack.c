/* What a signal handler may call is content with the smallest of stacks: the handler runs on one
 * of its own, painted, above a page that nobody may touch, and what is not painted any more was
 * used. 512 bytes are allowed, beyond what the signal itself takes, and a quarter more for a
 * message to several groups. */
#define _GNU_SOURCE
#include "safe_calls.h"
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALLOWED_LEN = 512, SEVERAL_LEN = 128, PAINT = 0x55, ABOVE_LEN = 256 };

static const struct safe_call *in_question;
static volatile anz_status_t status;
static size_t nothing;
static unsigned char *lowest;
static size_t stack_len;

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    status = in_question->call(7);
}

/* What this program itself needs to make a call. */
__attribute__((noinline)) static anz_status_t taken(void *const *places, const uint64_t *numbers)
{
    __asm__ volatile("" ::"r"(places), "r"(numbers) : "memory");
    return ANZ_OK;
}

static anz_status_t by_nothing(uint64_t number)
{
    void *places[2] = {NULL, NULL};
    uint64_t numbers[3] = {0, 0, 0};
    numbers[0] = number;
    return taken(places, numbers);
}
static const struct safe_call no_call = {"nothing", by_nothing, 0};

/* A stack as small as one may be, and what is allowed beyond. */
static void make_stack(void)
{
    long page = sysconf(_SC_PAGESIZE);
    size_t least = getauxval(AT_MINSIGSTKSZ), pages;
    stack_t stack;
    if (least < 2048)
        least = 2048;
    stack_len = least + ABOVE_LEN + ALLOWED_LEN + SEVERAL_LEN;
    pages = (stack_len + (size_t)page - 1) / (size_t)page * (size_t)page;
    lowest = mmap(NULL, pages + (size_t)page, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(lowest != MAP_FAILED);
    CHECK(mprotect(lowest, (size_t)page, PROT_NONE) == 0);
    lowest += page;
    memset(&stack, 0, sizeof stack);
    stack.ss_sp = lowest;
    stack.ss_size = stack_len;
    CHECK(sigaltstack(&stack, NULL) == 0);
}

/* Bytes of the stack that a handler with this call in it used. */
static size_t used_by(const struct safe_call *call, anz_status_t expected)
{
    size_t clean = 0;
    in_question = call;
    status = ANZ_OK;
    memset(lowest, PAINT, stack_len);
    CHECK(raise(SIGUSR1) == 0);
    IS(status, expected);
    while (clean < stack_len && lowest[clean] == PAINT)
        clean++;
    return stack_len - clean;
}

/* How many calls use too much, where sends end so. */
static int too_large(int left_out, anz_status_t of_sends)
{
    int which, again, over = 0;
    for (which = 0; which < SAFE_CALLS - left_out; which++) {
        const struct safe_call *call = &safe_calls[which];
        size_t most = 0, allowed = nothing + ALLOWED_LEN;
        for (again = 0; again < 20; again++) {
            size_t used = used_by(call, ends_with(call, of_sends));
            if (used > most)
                most = used;
            if (which < SAFE_STOP && again % 3 == 0)
                usleep(200);
        }
        printf("%s, %s: %ld bytes\n", call->name, anz_status_name(of_sends),
               (long)most - (long)nothing);
        if (strcmp(call->name, "anz_mcast_groups") == 0)
            allowed += SEVERAL_LEN;
        over += most > allowed;
    }
    return over;
}

int main(void)
{
    anz_claim_t claim;
    int over;
    begin();
    make_stack();
    handle(SIGUSR1, on_signal, SA_ONSTACK);
    nothing = used_by(&no_call, ANZ_OK);
    over = too_large(1, ANZ_OK);
    fill(&claim);
    over += too_large(1, ANZ_EAGAIN);
    anz_abort(group, &claim);
    over += used_by(&safe_calls[SAFE_STOP], ANZ_OK) > nothing + ALLOWED_LEN;
    end();
    over += too_large(0, ANZ_ECLOSED);
    CHECK(over == 0);
    (void)next_number;
    puts("ok");
    return 0;
}
