/* Runs kernels.cu on the processor, block after block. The threads of a block run
 * in turn; at a barrier one gives way to the next. */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdlib.h>
#include <ucontext.h>

struct place {
    int x, y;
};
static struct place blockIdx, blockDim, threadIdx;

#define __device__
#define __shared__ static
#define __syncthreads() give_way()

#define THREADS_MAX 256
#define STACK 65536

static ucontext_t scheduler, threads[THREADS_MAX];
static int ended[THREADS_MAX], current;

static void give_way(void)
{
    swapcontext(&threads[current], &scheduler);
}

#include "kernels.cu"

typedef void kernel(const float *, const float *, const float *, float *, struct shape);
static kernel *const KERNELS[] = {scale, dense, depthwise, pointwise, join};

static struct {
    kernel *run;
    const float *in, *weights, *affine;
    float *out;
    struct shape shape;
} call;

static void enter(void)
{
    call.run(call.in, call.weights, call.affine, call.out, call.shape);
    ended[current] = 1;
}

static void block(char *stacks)
{
    int left = blockDim.x;
    for (int i = 0; i < blockDim.x; i++) {
        getcontext(&threads[i]);
        threads[i].uc_stack.ss_sp = stacks + (size_t)i * STACK;
        threads[i].uc_stack.ss_size = STACK;
        threads[i].uc_link = &scheduler;
        makecontext(&threads[i], enter, 0);
        ended[i] = 0;
    }
    while (left > 0)
        for (int i = 0; i < blockDim.x; i++) {
            if (ended[i])
                continue;
            current = threadIdx.x = i;
            swapcontext(&scheduler, &threads[i]);
            left -= ended[i];
        }
}

/* Returns 0, or 1 where there is no such kernel or no memory. */
int launch(int which, int blocks_x, int blocks_y, int width, const float *in, const float *weights,
           const float *affine, float *out, struct shape shape)
{
    int barriers = which >= 3;
    char *stacks = barriers ? malloc((size_t)THREADS_MAX * STACK) : NULL;
    if (which < 0 || which > 4 || width > THREADS_MAX || (barriers && !stacks))
        return 1;
    call.run = KERNELS[which];
    call.in = in, call.weights = weights, call.affine = affine, call.out = out, call.shape = shape;
    blockDim.x = width;
    for (blockIdx.y = 0; blockIdx.y < blocks_y; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < blocks_x; blockIdx.x++) {
            if (barriers)
                block(stacks);
            else
                for (threadIdx.x = 0; threadIdx.x < width; threadIdx.x++)
                    KERNELS[which](in, weights, affine, out, shape);
        }
    free(stacks);
    return 0;
}
