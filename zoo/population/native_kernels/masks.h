// Dropout masks out of torch's generator: MT19937 (Matsumoto and Nishimura, 1998) drawn many numbers at a time.
#pragma once
#include <cstdint>
#include <cstring>

// The beginning of what torch.get_rng_state holds.
struct TorchGenerator {
  uint64_t seed;
  int32_t left;  // draws until the words are made anew, the next included
  int32_t seeded;
  uint64_t next;
  uint64_t words[624];
};

class Twister {
 public:
  explicit Twister(TorchGenerator* torch) : torch_(torch), at_(torch->left == 1 ? N : torch->next) {
    for (long i = 0; i < N; i++) words_[i] = static_cast<uint32_t>(torch->words[i]);
    temper();
  }
  ~Twister() {
    for (long i = 0; i < N; i++) torch_->words[i] = words_[i];
    torch_->next = at_;
    torch_->left = static_cast<int32_t>(N + 1 - at_);
  }

  // One Bernoulli number an element: 53 bits of two draws below the chance, as torch has it.
  void bernoulli(double chance, uint8_t* out, long count) {
    uint64_t bound = static_cast<uint64_t>(std::ceil(chance * 9007199254740992.0));
    while (count) {
      long pairs = std::min(count, (N - at_) / 2);
      const uint32_t* from = drawn_ + at_;
      for (long i = 0; i < pairs; i++) out[i] = below(from[2 * i], from[2 * i + 1], bound);
      at_ += 2 * pairs, out += pairs, count -= pairs;
      if (!count) return;
      uint32_t high = one();
      *out++ = below(high, one(), bound), count--;
    }
  }

 private:
  static constexpr long N = 624, M = 397;

  static uint8_t below(uint32_t high, uint32_t low, uint64_t bound) {
    return ((static_cast<uint64_t>(high & 0x1fffff) << 32) | low) < bound;
  }
  uint32_t one() {
    if (at_ == N) twist();
    return drawn_[at_++];
  }
  static uint32_t mixed(uint32_t a, uint32_t b) {
    uint32_t y = (a & 0x80000000u) | (b & 0x7fffffffu);
    return (y >> 1) ^ (-(b & 1u) & 0x9908b0dfu);
  }
  void twist() {
    uint32_t* w = words_;
    for (long i = 0; i < N - M; i++) w[i] = w[i + M] ^ mixed(w[i], w[i + 1]);
    for (long i = N - M; i < N - 1; i++) w[i] = w[i + M - N] ^ mixed(w[i], w[i + 1]);
    w[N - 1] = w[M - 1] ^ mixed(w[N - 1], w[0]);
    at_ = 0;
    temper();
  }
  void temper() {
    for (long i = 0; i < N; i++) {
      uint32_t y = words_[i];
      y ^= y >> 11;
      y ^= (y << 7) & 0x9d2c5680u;
      y ^= (y << 15) & 0xefc60000u;
      drawn_[i] = y ^ (y >> 18);
    }
  }

  TorchGenerator* torch_;
  long at_;
  uint32_t words_[N], drawn_[N];
};

// Masks of all dropout layers of so many steps, as torch draws them: step by step, layer by layer.
extern "C" void draw_masks(TorchGenerator* torch, const double* chances, const long* counts, long layers, long steps,
                           uint8_t* out) {
  Twister twister(torch);
  for (long s = 0; s < steps; s++)
    for (long i = 0; i < layers; i++, out += counts[i - 1]) twister.bernoulli(chances[i], out, counts[i]);
}
