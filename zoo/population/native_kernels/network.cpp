// Training of one small network in the cache, on one thread; see zoo/population/native.py for the program of layers.
#include "layers.h"
#include "masks.h"
#include "peak.h"
#include "residuals.h"
#include "updates.h"

enum Kind : long {
  LINEAR, CONVOLUTION, MAXIMUM, MEAN, FLATTEN, DROPOUT, SHIFT,
  RELU, LEAKY_RELU, TANH, SIGMOID, SILU, GELU, SINE,
  RESIDUAL_START, RESIDUAL_END
};
enum Loss : long { CROSS_ENTROPY, SQUARES };

constexpr int FIELDS = 6;          // of a layer in the program
constexpr long ROWS_AT_A_TIME = 48;  // samples whose rows stay in the first-level cache

template <class T>
class Network {
 public:
  Network(const long* program, const double* parameters, long layers, const long* shape, long loss) : loss_(loss) {
    input_ = {shape[0] != 0, shape[1], shape[2], shape[3]};
    samples_ = input_.is_map ? LANES<T> : ROWS_AT_A_TIME;
    values_.emplace_back(input_.values(samples_));
    Shape<T> now = input_;
    for (long i = 0; i < layers; i++) {
      layers_.push_back(make(program + i * FIELDS, static_cast<T>(parameters[i]), now));
      now = layers_.back()->out;
    }
    output_ = now;
    place_weights();
    connect();
  }

  void set_weights(const T* flat) {
    each_weight(weights_.get(), [&](T& own, long i) { own = flat[i]; });
    for (auto& layer : layers_) layer->refresh();
  }
  void get_weights(T* flat) {
    each_weight(weights_.get(), [&](T& own, long i) { flat[i] = own; });
  }
  void set_rule(long rule, double decay, double first, double second) {
    optimiser_ = std::make_unique<Optimiser<T>>(
        weights_.size(), static_cast<Rule>(rule), static_cast<T>(decay), first, second);
  }
  // What has a 0 here gets no gradient.
  void set_mask(const T* flat) {
    mask_ = Buffer<T>(weights_.size());
    each_weight(mask_.get(), [&](T& own, long i) { own = flat[i]; });
  }

  // Steps over batches of sample numbers [steps, batch]; returns how many were taken before the loss was not finite.
  long train(const T* x, const void* y, const long* rows, long steps, long batch, const double* rates,
             const uint8_t* masks) {
    long step = 0;
    for (; step < steps; step++, rows += batch) {
      double value = 0;
      gradients_.zero();
      for (long m = 0; m < batch; m += samples_) {
        long n = std::min(samples_, batch - m);
        const uint8_t* mask = masks;
        for (auto& layer : layers_)
          if (layer->masked()) {
            layer->mask = mask + m * layer->masked();
            mask += batch * layer->masked();
          }
        forward(x, rows + m, n, true);
        value += loss_gradient(y, rows + m, n, batch);
        for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) (*layer)->backward(n);
      }
      for (auto& layer : layers_) {
        layer->collect();
        masks += batch * layer->masked();
      }
      for (size_t i = 0; i < mask_.size(); i++) gradients_.get()[i] *= mask_.get()[i];
      optimiser_->step(weights_.get(), gradients_.get(), weights_.size(), rates[step]);
      for (auto& layer : layers_) layer->refresh();
      if (!std::isfinite(value)) return step;
    }
    return step;
  }

  void predict(const T* x, const long* rows, long count, T* out) {
    for (long m = 0; m < count; m += samples_) {
      long n = std::min(samples_, count - m);
      forward(x, rows + m, n, false);
      for (long i = 0; i < n; i++, out += output_.units())
        std::memcpy(out, layers_.back()->y + i * output_.ld(), output_.units() * sizeof(T));
    }
  }

 private:
  std::unique_ptr<Layer<T>> make(const long* f, T p, Shape<T> in) {
    long n = samples_;
    switch (f[0]) {
      case LINEAR:
        if (f[1] <= NarrowLinear<T>::MOST) return std::make_unique<NarrowLinear<T>>(in, f[1], f[2]);
        return std::make_unique<Linear<T>>(in, f[1], f[2]);
      case CONVOLUTION: return std::make_unique<Convolution<T>>(in, f[1], f[3], f[4], f[5], f[2]);
      case MAXIMUM: return std::make_unique<Pool<T, true>>(in, f[1], f[1]);
      case MEAN: return std::make_unique<Pool<T, false>>(in, f[1] ? f[1] : in.h, f[1] ? f[1] : in.w);
      case FLATTEN: return std::make_unique<Flatten<T>>(in);
      case DROPOUT: return std::make_unique<Dropout<T>>(in, p, n);
      case SHIFT: return std::make_unique<Shift<T>>(in, p);
      case RELU: return std::make_unique<Activation<T, Relu>>(in, p, n);
      case LEAKY_RELU: return std::make_unique<Activation<T, LeakyRelu>>(in, p, n);
      case TANH: return std::make_unique<Activation<T, Tanh>>(in, p, n);
      case SIGMOID: return std::make_unique<Activation<T, Sigmoid>>(in, p, n);
      case SILU: return std::make_unique<Activation<T, Silu>>(in, p, n);
      case GELU: return std::make_unique<Activation<T, Gelu>>(in, p, n);
      case SINE: return std::make_unique<Activation<T, Sine>>(in, p, n);
      case RESIDUAL_START: {
        auto start = std::make_unique<ResidualStart<T>>(in);
        open_.push_back(start.get());
        return start;
      }
      default: {
        auto end = std::make_unique<ResidualEnd<T>>(in, open_.back());
        open_.pop_back();
        return end;
      }
    }
  }

  void place_weights() {
    long own = 0, flat = 0;
    for (auto& layer : layers_)
      for (Place* place : {&layer->weight, &layer->bias}) {
        place->own = own, place->flat = flat;
        own += whole<T>(place->size), flat += place->inputs * place->outputs;
      }
    weights_ = Buffer<T>(own), gradients_ = Buffer<T>(own);
  }

  void connect() {
    T *y = values_[0].get(), *dy = nullptr;
    bool learns = false;
    for (auto& layer : layers_) {
      layer->x = y, layer->dx = learns ? dy : nullptr;
      values_.emplace_back(layer->out.values(samples_));
      y = layer->y = values_.back().get();
      values_.emplace_back(layer->out.values(samples_));
      dy = layer->dy = values_.back().get();
      layer->bind(weights_.get(), gradients_.get());
      learns = learns || layer->weight.inputs;
    }
  }

  // ``visit`` what ``values`` have of every weight, with its number in torch's order.
  template <class F>
  void each_weight(T* values, F visit) {
    for (auto& layer : layers_)
      for (const Place& p : {layer->weight, layer->bias})
        for (long o = 0; o < p.outputs; o++)
          for (long i = 0; i < p.inputs; i++)
            visit(values[p.own + i * p.per_input + o * p.per_output], p.flat + o * p.inputs + i);
  }

  void forward(const T* x, const long* rows, long n, bool training) {
    T* to = values_[0].get();
    long units = input_.units();
    if (input_.is_map) values_[0].zero();
    for (long m = 0; m < n; m++) {
      const T* sample = x + rows[m] * units;
      if (input_.is_map)
        for (long u = 0; u < units; u++) to[u * LANES<T> + m] = sample[u];
      else
        std::memcpy(to + m * input_.ld(), sample, units * sizeof(T));
    }
    for (auto& layer : layers_) layer->forward(n, training);
  }

  // Writes the gradient of the outputs; returns the part of the loss.
  double loss_gradient(const void* y, const long* rows, long n, long batch) {
    double value = 0;
    long N = output_.units(), ld = output_.ld();
    for (long m = 0; m < n; m++) {
      const T* out = layers_.back()->y + m * ld;
      T* gradient = layers_.back()->dy + m * ld;
      value += loss_ == CROSS_ENTROPY
                   ? cross_entropy(out, static_cast<const long*>(y)[rows[m]], gradient, N, ld, batch)
                   : squares(out, static_cast<const T*>(y) + rows[m] * N, gradient, N, batch);
    }
    return value;
  }
  static double cross_entropy(const T* __restrict out, long target, T* __restrict gradient, long N, long ld, long batch) {
    T most = out[0], sum = 0;
    for (long i = 1; i < N; i++) most = out[i] > most ? out[i] : most;
    for (long i = 0; i < ld; i++) gradient[i] = exponential(out[i] - most);
    for (long i = 0; i < N; i++) sum += gradient[i];
    T scale = 1 / (sum * batch);
    for (long i = 0; i < ld; i++) gradient[i] = i < N ? gradient[i] * scale : T(0);
    gradient[target] -= T(1) / batch;
    return (std::log(static_cast<double>(sum)) + most - out[target]) / batch;
  }
  static double squares(const T* out, const T* target, T* gradient, long N, long batch) {
    double value = 0;
    for (long i = 0; i < N; i++) {
      T gap = out[i] - target[i];
      gradient[i] = gap * (T(2) / (batch * N));
      value += static_cast<double>(gap) * gap;
    }
    return value / (batch * N);
  }

  long loss_, samples_;
  Shape<T> input_, output_;
  std::vector<std::unique_ptr<Layer<T>>> layers_;
  std::vector<ResidualStart<T>*> open_;  // those whose end is still to come
  std::vector<Buffer<T>> values_;
  Buffer<T> weights_, gradients_, mask_;
  std::unique_ptr<Optimiser<T>> optimiser_;
};

#define INTERFACE(T, NAME)                                                                                             \
  extern "C" void* NAME##_make(const long* program, const double* parameters, long layers, const long* shape,         \
                               long loss) {                                                                            \
    try {                                                                                                              \
      return new Network<T>(program, parameters, layers, shape, loss);                                                 \
    } catch (const std::bad_alloc&) {                                                                                  \
      return nullptr;                                                                                                  \
    }                                                                                                                  \
  }                                                                                                                    \
  extern "C" void NAME##_free(void* net) { delete static_cast<Network<T>*>(net); }                                     \
  extern "C" void NAME##_set(void* net, const T* flat) { static_cast<Network<T>*>(net)->set_weights(flat); }           \
  extern "C" void NAME##_get(void* net, T* flat) { static_cast<Network<T>*>(net)->get_weights(flat); }                 \
  extern "C" void NAME##_rule(void* net, long rule, double decay, double first, double second) {                       \
    static_cast<Network<T>*>(net)->set_rule(rule, decay, first, second);                                               \
  }                                                                                                                    \
  extern "C" void NAME##_mask(void* net, const T* flat) { static_cast<Network<T>*>(net)->set_mask(flat); }             \
  extern "C" long NAME##_train(void* net, const T* x, const void* y, const long* rows, long steps, long batch,         \
                               const double* rates, const uint8_t* masks) {                                            \
    return static_cast<Network<T>*>(net)->train(x, y, rows, steps, batch, rates, masks);                               \
  }                                                                                                                    \
  extern "C" void NAME##_predict(void* net, const T* x, const long* rows, long count, T* out) {                        \
    static_cast<Network<T>*>(net)->predict(x, rows, count, out);                                                       \
  }

INTERFACE(float, f32)
INTERFACE(double, f64)
