// Cosine and sine of angles that are counted in turns.
//
// In double the polynomials are those of Cephes (S. Moshier, 1989), as they are in float in functions.h.
#pragma once
#include "functions.h"

constexpr double TURN = 6.28318530717958647693;

// Angles of at most half a turn to either side.
inline void sine_cosine_near(float x, float& s, float& c) { sine_cosine(x, s, c); }
inline void sine_cosine_near(double x, double& s, double& c) {
  double q = std::rint(x * 0.63661977236758134308);
  double r = std::fma(q, -6.123233995736766e-17, std::fma(q, -1.5707963267948966, x));
  double z = r * r;
  double sp = 1.58962301576546568060e-10;
  sp = std::fma(sp, z, -2.50507477628578072866e-8);
  sp = std::fma(sp, z, 2.75573136213857245213e-6);
  sp = std::fma(sp, z, -1.98412698295895385996e-4);
  sp = std::fma(sp, z, 8.33333333332211858878e-3);
  sp = std::fma(sp, z, -1.66666666666666307295e-1);
  double si = std::fma(sp * z, r, r);
  double cp = -1.13585365213876817300e-11;
  cp = std::fma(cp, z, 2.08757008419747316778e-9);
  cp = std::fma(cp, z, -2.75573141792967388112e-7);
  cp = std::fma(cp, z, 2.48015872888517045348e-5);
  cp = std::fma(cp, z, -1.38888888888730564116e-3);
  cp = std::fma(cp, z, 4.16666666666665929218e-2);
  double co = std::fma(cp, z * z, std::fma(-0.5, z, 1.0));
  int32_t quarter = static_cast<int32_t>(q);
  bool swapped = quarter & 1;
  double a = swapped ? co : si, b = swapped ? si : co;
  s = (quarter & 2) ? -a : a;
  c = ((quarter + 1) & 2) ? -b : b;
}

// Of the sum of two numbers of turns; what is whole in it is left away without error.
template <class T>
inline void turn(T high, T low, T& c, T& s) {
  // fma, for the compiler must not add up the low part first.
  T part = std::fma(T(-1), std::rint(high), high) + low;
  part -= std::rint(part);
  sine_cosine_near(T(TURN) * part, s, c);
}
