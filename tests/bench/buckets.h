/* Times in buckets, STEPS for each power of two: within 1.6 %. */
#include <stdint.h>

enum { STEPS_BITS = 6, STEPS = 1 << STEPS_BITS, BUCKETS = 64 * STEPS };

static unsigned bucket_of(uint64_t ns) {
    if (ns < STEPS) return (unsigned)ns;
    unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - STEPS_BITS;
    return (shift + 1) * STEPS + (unsigned)((ns >> shift) - STEPS);
}

/* The least time of a bucket. */
static uint64_t ns_of(unsigned bucket) {
    if (bucket < STEPS) return bucket;
    return (uint64_t)(STEPS + bucket % STEPS) << (bucket / STEPS - 1);
}
