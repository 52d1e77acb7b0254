// Vectors as wide as the processor's registers, for any number type.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#if defined(__AVX512F__)
constexpr int BYTES = 64;
constexpr int WIDEST = 4;  // vectors of outputs that a tile holds in registers
#elif defined(__AVX__)
constexpr int BYTES = 32;
constexpr int WIDEST = 2;
#else
constexpr int BYTES = 16;
constexpr int WIDEST = 2;
#endif

template <class T>
struct Vectors {
  typedef T V __attribute__((vector_size(BYTES), may_alias));
};
template <class T>
using Vec = typename Vectors<T>::V;

template <class T>
constexpr int LANES = BYTES / sizeof(T);

template <class T>
constexpr long whole(long n) {
  return (n + LANES<T> - 1) / LANES<T> * LANES<T>;
}

// A vector in memory, which may start at any number: tensors do.
template <class T>
struct Stored {
  typedef T V __attribute__((vector_size(BYTES), may_alias, aligned(alignof(T))));
};

template <class T>
inline typename Stored<T>::V& at(T* p) {
  return *reinterpret_cast<typename Stored<T>::V*>(p);
}
template <class T>
inline const typename Stored<T>::V& at(const T* p) {
  return *reinterpret_cast<const typename Stored<T>::V*>(p);
}

template <class T>
inline T sum_lanes(Vec<T> v) {
  T total = 0;
  for (int i = 0; i < LANES<T>; i++) total += v[i];  // the compiler adds halves
  return total;
}

// Memory that starts at a vector, zero at first.
template <class T>
class Buffer {
 public:
  explicit Buffer(size_t count = 0) : count_(whole<T>(count)) {
    if (!count_) return;
    data_ = static_cast<T*>(std::aligned_alloc(64, (count_ * sizeof(T) + 63) / 64 * 64));
    if (!data_) throw std::bad_alloc();
    zero();
  }
  Buffer(Buffer&& other) noexcept : data_(other.data_), count_(other.count_) {
    other.data_ = nullptr;
    other.count_ = 0;
  }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~Buffer() { std::free(data_); }
  T* get() const { return data_; }
  size_t size() const { return count_; }
  void zero() {
    if (data_) std::memset(data_, 0, count_ * sizeof(T));
  }

 private:
  T* data_ = nullptr;
  size_t count_;
};
