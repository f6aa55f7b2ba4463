/* Group normalisation for channels-last tensors (N, H*W, C), forward and backward, in bf16 and
   fp32. torch's CPU backward in this memory format took half of an autoencoder step (measured). */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define CHANNELS_MAX 2048

typedef uint16_t bf16;

static inline float load_bf16(bf16 value) {
    uint32_t bits = ((uint32_t)value) << 16;
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

static inline bf16 store_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits += 0x7fff + ((bits >> 16) & 1); /* round to even */
    return (bf16)(bits >> 16);
}

static inline float load_f32(float value) { return value; }
static inline float store_f32(float value) { return value; }

#define GROUP_NORM(T, LOAD, STORE, NAME)                                                          \
    void forward_##NAME(const T *restrict x, T *restrict y, float *restrict mean,                 \
                        float *restrict rstd, const float *weight, const float *bias, long batch, \
                        long pixels, long channels, long groups, float eps) {                     \
        long width = channels / groups;                                                           \
        _Pragma("omp parallel for")                                                               \
        for (long n = 0; n < batch; n++) {                                                        \
            float sum[CHANNELS_MAX], square[CHANNELS_MAX], scale[CHANNELS_MAX],                   \
                shift[CHANNELS_MAX];                                                              \
            const T *in = x + n * pixels * channels;                                              \
            T *out = y + n * pixels * channels;                                                   \
            for (long c = 0; c < channels; c++) sum[c] = square[c] = 0;                           \
            for (long i = 0; i < pixels; i++) {                                                   \
                const T *p = in + i * channels;                                                   \
                for (long c = 0; c < channels; c++) {                                             \
                    float v = LOAD(p[c]);                                                         \
                    sum[c] += v;                                                                  \
                    square[c] += v * v;                                                           \
                }                                                                                 \
            }                                                                                     \
            for (long g = 0; g < groups; g++) {                                                   \
                double total = 0, total2 = 0;                                                     \
                for (long c = g * width; c < (g + 1) * width; c++) {                              \
                    total += sum[c];                                                              \
                    total2 += square[c];                                                          \
                }                                                                                 \
                double m = total / (pixels * width);                                              \
                double v = total2 / (pixels * width) - m * m;                                     \
                float r = 1. / sqrt((v < 0 ? 0 : v) + eps);                                       \
                mean[n * groups + g] = m;                                                         \
                rstd[n * groups + g] = r;                                                         \
                for (long c = g * width; c < (g + 1) * width; c++) {                              \
                    scale[c] = r * weight[c];                                                     \
                    shift[c] = bias[c] - m * scale[c];                                            \
                }                                                                                 \
            }                                                                                     \
            for (long i = 0; i < pixels; i++) {                                                   \
                const T *p = in + i * channels;                                                   \
                T *o = out + i * channels;                                                        \
                for (long c = 0; c < channels; c++) o[c] = STORE(LOAD(p[c]) * scale[c] + shift[c]); \
            }                                                                                     \
        }                                                                                         \
    }                                                                                             \
    void backward_##NAME(const T *restrict x, const T *restrict dy, T *restrict dx,               \
                         const float *mean, const float *rstd, const float *weight,               \
                         float *dweight, float *dbias, long batch, long pixels, long channels,    \
                         long groups) {                                                           \
        long width = channels / groups;                                                           \
        _Pragma("omp parallel for reduction(+ : dweight[:channels], dbias[:channels])")           \
        for (long n = 0; n < batch; n++) {                                                        \
            float sum[CHANNELS_MAX], dot[CHANNELS_MAX], a[CHANNELS_MAX], b[CHANNELS_MAX],         \
                c0[CHANNELS_MAX];                                                                 \
            const T *in = x + n * pixels * channels;                                              \
            const T *grad = dy + n * pixels * channels;                                           \
            T *out = dx + n * pixels * channels;                                                  \
            for (long c = 0; c < channels; c++) sum[c] = dot[c] = 0;                              \
            for (long i = 0; i < pixels; i++) {                                                   \
                const T *p = in + i * channels, *e = grad + i * channels;                         \
                for (long c = 0; c < channels; c++) {                                             \
                    float v = LOAD(e[c]);                                                         \
                    sum[c] += v;                                                                  \
                    dot[c] += v * LOAD(p[c]);                                                     \
                }                                                                                 \
            }                                                                                     \
            for (long g = 0; g < groups; g++) {                                                   \
                float m = mean[n * groups + g], r = rstd[n * groups + g];                         \
                double mean_grad = 0, mean_dot = 0;                                               \
                for (long c = g * width; c < (g + 1) * width; c++) {                              \
                    float dw = (dot[c] - sum[c] * m) * r;                                         \
                    dweight[c] += dw;                                                             \
                    dbias[c] += sum[c];                                                           \
                    mean_grad += sum[c] * weight[c];                                              \
                    mean_dot += dw * weight[c];                                                   \
                }                                                                                 \
                mean_grad /= pixels * width;                                                      \
                mean_dot /= pixels * width;                                                       \
                for (long c = g * width; c < (g + 1) * width; c++) {                              \
                    a[c] = r * weight[c];                                                         \
                    b[c] = -r * r * mean_dot;                                                     \
                    c0[c] = -r * mean_grad + r * r * mean_dot * m;                                \
                }                                                                                 \
            }                                                                                     \
            for (long i = 0; i < pixels; i++) {                                                   \
                const T *p = in + i * channels, *e = grad + i * channels;                         \
                T *o = out + i * channels;                                                        \
                for (long c = 0; c < channels; c++)                                               \
                    o[c] = STORE(LOAD(e[c]) * a[c] + LOAD(p[c]) * b[c] + c0[c]);                  \
            }                                                                                     \
        }                                                                                         \
    }

GROUP_NORM(bf16, load_bf16, store_bf16, bf16)
GROUP_NORM(float, load_f32, store_f32, f32)
