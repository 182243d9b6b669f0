// What an embedder's graph runs on a device: five kernels of one signature.
//
// Tensors are planar f32: [image][channel][row][column]. `affine` holds a bias
// and a negative slope (PReLU; 1 leaves a value as it is) for each output
// channel; `scale` finds there what it subtracts and what it multiplies by.
//
// The language is the part that C and CUDA C++ share: NVRTC compiles it for the
// device, a C compiler for the processor, where tests run the same lines.

struct shape {
    int images;
    int in_channels, in_height, in_width;
    int out_channels, out_height, out_width;
    int kernel, stride, pad;
};

#ifdef __cplusplus
#define KERNEL extern "C" __global__
#else
#define KERNEL
#endif

static __device__ float activate(float sum, const float *affine, int channel)
{
    float value = sum + affine[2 * channel];
    return value > 0.0f ? value : value * affine[2 * channel + 1];
}

// (x - affine[0]) * affine[1]. One thread to a number.
KERNEL void scale(const float *in, const float *weights, const float *affine, float *out, struct shape s)
{
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    (void)weights;
    if (at < s.images * s.in_channels * s.in_height * s.in_width)
        out[at] = (in[at] - affine[0]) * affine[1];
}

#define DENSE_CHANNELS 8

// Convolution over all channels. One thread to a pixel and DENSE_CHANNELS output
// channels (blockIdx.y). Weights: [out][in][row][column].
KERNEL void dense(const float *in, const float *weights, const float *affine, float *out, struct shape s)
{
    int pixels = s.out_height * s.out_width;
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    int first = blockIdx.y * DENSE_CHANNELS;
    int window = s.kernel * s.kernel;
    float sums[DENSE_CHANNELS];
    if (at >= s.images * pixels)
        return;
    int image = at / pixels, pixel = at % pixels;
    int top = pixel / s.out_width * s.stride - s.pad, left = pixel % s.out_width * s.stride - s.pad;
    for (int o = 0; o < DENSE_CHANNELS; o++)
        sums[o] = 0.0f;
    for (int c = 0; c < s.in_channels; c++) {
        const float *plane = in + (image * s.in_channels + c) * s.in_height * s.in_width;
        for (int tap = 0; tap < window; tap++) {
            int y = top + tap / s.kernel, x = left + tap % s.kernel;
            if (y < 0 || y >= s.in_height || x < 0 || x >= s.in_width)
                continue;
            float value = plane[y * s.in_width + x];
            for (int o = 0; o < DENSE_CHANNELS; o++)
                if (first + o < s.out_channels)
                    sums[o] += value * weights[((first + o) * s.in_channels + c) * window + tap];
        }
    }
    for (int o = 0; o < DENSE_CHANNELS; o++)
        if (first + o < s.out_channels)
            out[(image * s.out_channels + first + o) * pixels + pixel] = activate(sums[o], affine, first + o);
}

// Convolution of each channel by itself. One thread to a number.
// Weights: [channel][row][column].
KERNEL void depthwise(const float *in, const float *weights, const float *affine, float *out, struct shape s)
{
    int pixels = s.out_height * s.out_width;
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= s.images * s.out_channels * pixels)
        return;
    int plane = at / pixels, pixel = at % pixels, channel = plane % s.out_channels;
    int top = pixel / s.out_width * s.stride - s.pad, left = pixel % s.out_width * s.stride - s.pad;
    const float *from = in + plane * s.in_height * s.in_width;
    const float *taps = weights + channel * s.kernel * s.kernel;
    float sum = 0.0f;
    for (int row = 0; row < s.kernel; row++) {
        int y = top + row;
        if (y < 0 || y >= s.in_height)
            continue;
        for (int column = 0; column < s.kernel; column++) {
            int x = left + column;
            if (x >= 0 && x < s.in_width)
                sum += from[y * s.in_width + x] * taps[row * s.kernel + column];
        }
    }
    out[at] = activate(sum, affine, channel);
}

// A tile of the product is TILE_ROWS output channels by TILE_COLUMNS pixels (of
// any images), made TILE_DEPTH input channels at a time; each of its
// TILE_COLUMNS threads sums 8 by 8 of it.
#define TILE_ROWS 64
#define TILE_COLUMNS 128
#define TILE_DEPTH 16
#define TILE_LOADS (TILE_ROWS * TILE_DEPTH / TILE_COLUMNS)

// Convolution of one pixel: [out][in] times [in][pixels of all images].
// Weights are transposed: [in][out].
KERNEL void pointwise(const float *in, const float *weights, const float *affine, float *out, struct shape s)
{
    __shared__ float rows[TILE_DEPTH][TILE_ROWS];
    __shared__ float columns[TILE_DEPTH][TILE_COLUMNS];
    int thread = threadIdx.x;
    int pixels = s.out_height * s.out_width, total = s.images * pixels;
    int first_row = blockIdx.y * TILE_ROWS, first_column = blockIdx.x * TILE_COLUMNS;
    int mine = first_column + thread;
    const float *from = in + (mine / pixels) * s.in_channels * pixels + mine % pixels;
    int row = thread % TILE_ROWS, level = thread / TILE_ROWS;
    int row_block = thread / 16 * 8, column_block = thread % 16 * 4;
    float next_row[TILE_LOADS], next_column[TILE_DEPTH], sums[8][8];

    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            sums[i][j] = 0.0f;
#define LOAD(depth)                                                                                        \
    for (int i = 0; i < TILE_LOADS; i++) {                                                                 \
        int c = (depth) + level + i * (TILE_COLUMNS / TILE_ROWS);                                          \
        int known = c < s.in_channels && first_row + row < s.out_channels;                                 \
        next_row[i] = known ? weights[c * s.out_channels + first_row + row] : 0.0f;                        \
    }                                                                                                      \
    for (int i = 0; i < TILE_DEPTH; i++)                                                                   \
        next_column[i] = mine < total && (depth) + i < s.in_channels ? from[((depth) + i) * pixels] : 0.0f;
    LOAD(0)
    for (int depth = 0; depth < s.in_channels; depth += TILE_DEPTH) {
        __syncthreads();
        for (int i = 0; i < TILE_LOADS; i++)
            rows[level + i * (TILE_COLUMNS / TILE_ROWS)][row] = next_row[i];
        for (int i = 0; i < TILE_DEPTH; i++)
            columns[i][thread] = next_column[i];
        __syncthreads();
        if (depth + TILE_DEPTH < s.in_channels) {
            LOAD(depth + TILE_DEPTH)
        }
        for (int k = 0; k < TILE_DEPTH; k++) {
            float left[8], right[8];
            for (int i = 0; i < 8; i++)
                left[i] = rows[k][row_block + i];
            for (int j = 0; j < 4; j++) {
                right[j] = columns[k][column_block + j];
                right[j + 4] = columns[k][column_block + 64 + j];
            }
            for (int i = 0; i < 8; i++)
                for (int j = 0; j < 8; j++)
                    sums[i][j] += left[i] * right[j];
        }
    }
#undef LOAD
    for (int j = 0; j < 8; j++) {
        int column = first_column + column_block + (j < 4 ? j : 60 + j);
        if (column >= total)
            continue;
        float *to = out + (column / pixels) * s.out_channels * pixels + column % pixels;
        for (int i = 0; i < 8; i++) {
            int channel = first_row + row_block + i;
            if (channel < s.out_channels)
                to[channel * pixels] = activate(sums[i][j], affine, channel);
        }
    }
}

#define JOIN_THREADS 256
#define JOIN_OUTPUTS 4
#define JOIN_IMAGES 8
#define JOIN_SUMS (JOIN_OUTPUTS * JOIN_IMAGES)
#define JOIN_PART 33

// Fully connected. A block makes JOIN_OUTPUTS outputs of JOIN_IMAGES images, its
// threads sharing the inputs, and adds their sums in a fixed order.
// Weights: [out][in], where `in` is channels x rows x columns.
KERNEL void join(const float *in, const float *weights, const float *affine, float *out, struct shape s)
{
    __shared__ float parts[JOIN_SUMS][JOIN_THREADS / 32 * JOIN_PART];
    __shared__ float few[JOIN_SUMS][JOIN_THREADS / JOIN_SUMS];
    int thread = threadIdx.x, length = s.in_channels * s.in_height * s.in_width;
    int first_output = blockIdx.x * JOIN_OUTPUTS, first_image = blockIdx.y * JOIN_IMAGES;
    float sums[JOIN_OUTPUTS][JOIN_IMAGES];
    for (int o = 0; o < JOIN_OUTPUTS; o++)
        for (int n = 0; n < JOIN_IMAGES; n++)
            sums[o][n] = 0.0f;
    for (int at = thread; at < length; at += JOIN_THREADS) {
        float weight[JOIN_OUTPUTS];
        for (int o = 0; o < JOIN_OUTPUTS; o++)
            weight[o] = first_output + o < s.out_channels ? weights[(first_output + o) * length + at] : 0.0f;
        for (int n = 0; n < JOIN_IMAGES; n++) {
            float value = first_image + n < s.images ? in[(first_image + n) * length + at] : 0.0f;
            for (int o = 0; o < JOIN_OUTPUTS; o++)
                sums[o][n] += weight[o] * value;
        }
    }
    for (int o = 0; o < JOIN_OUTPUTS; o++)
        for (int n = 0; n < JOIN_IMAGES; n++)
            parts[o * JOIN_IMAGES + n][thread / 32 * JOIN_PART + thread % 32] = sums[o][n];
    __syncthreads();
    int which = thread / 8, part = thread % 8;
    float sum = 0.0f;
    for (int i = 0; i < 32; i++)
        sum += parts[which][part * JOIN_PART + i];
    few[which][part] = sum;
    __syncthreads();
    if (thread >= JOIN_SUMS)
        return;
    int output = first_output + thread / JOIN_IMAGES, image = first_image + thread % JOIN_IMAGES;
    sum = 0.0f;
    for (int i = 0; i < 8; i++)
        sum += few[thread][i];
    if (output < s.out_channels && image < s.images)
        out[image * s.out_channels + output] = activate(sum, affine, output);
}
