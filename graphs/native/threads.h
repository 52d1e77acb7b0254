// Static ranges of edges, a thread each: the same ranges, and so the same sums, at every call.
#pragma once
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

// Runs work(thread, begin, end) over 0 .. edges; the caller is the first thread.
template <class Work>
void in_ranges(long edges, long threads, Work work) {
  auto bound = [&](long thread) { return edges * thread / threads; };
  std::vector<std::exception_ptr> failures(threads);
  auto guarded = [&](long thread) {
    try {
      work(thread, bound(thread), bound(thread + 1));
    } catch (...) {
      failures[thread] = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (long thread = 1; thread < threads; thread++) try {
      others.emplace_back(guarded, thread);
    } catch (const std::system_error&) {
      guarded(thread);  // no thread is to be had: its range is done here
    }
  guarded(0);
  for (std::thread& other : others) other.join();
  for (std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}
