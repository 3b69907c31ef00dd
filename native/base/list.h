// List: an intrusive doubly linked list. Nodes live in their owners; nothing allocates.
//
//   struct Waiter : ListNode { … };
//   List<Waiter> waiters;  waiters.push_back(w);  waiters.remove(w);
//
// A node is in at most one list at a time (CHECKed) and is out of it before it goes away (CHECKed).
#pragma once

#include <cstddef>

#include "base/check.h"

namespace ashlar {

template <class T>
class List;

struct ListNode {
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { CHECK(!linked()); }
  bool linked() const noexcept { return next_ != nullptr; }

 private:
  template <class T>
  friend class List;
  ListNode* next_ = nullptr;
  ListNode* prev_ = nullptr;
};

template <class T>
class List {
 public:
  List() noexcept { end_.next_ = end_.prev_ = &end_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    CHECK(empty());
    end_.next_ = end_.prev_ = nullptr;
  }

  bool empty() const noexcept { return end_.next_ == &end_; }
  size_t size() const noexcept { return size_; }
  T* front() noexcept { return empty() ? nullptr : static_cast<T*>(end_.next_); }
  T* back() noexcept { return empty() ? nullptr : static_cast<T*>(end_.prev_); }
  // The one after `item`; null at the end. To remove while walking, take next() first.
  T* next(T& item) noexcept {
    ListNode* node = static_cast<ListNode&>(item).next_;
    return node == &end_ ? nullptr : static_cast<T*>(node);
  }

  void push_back(T& item) noexcept { insert_before(end_, item); }
  void push_front(T& item) noexcept { insert_before(*end_.next_, item); }
  void remove(T& item) noexcept {
    ListNode& node = item;
    CHECK(node.linked());
    node.prev_->next_ = node.next_;
    node.next_->prev_ = node.prev_;
    node.next_ = node.prev_ = nullptr;
    --size_;
  }
  T* pop_front() noexcept {
    T* item = front();
    if (item != nullptr) remove(*item);
    return item;
  }

 private:
  void insert_before(ListNode& place, T& item) noexcept {
    ListNode& node = item;
    CHECK(!node.linked());
    node.prev_ = place.prev_;
    node.next_ = &place;
    place.prev_->next_ = &node;
    place.prev_ = &node;
    ++size_;
  }

  ListNode end_;
  size_t size_ = 0;
};

}  // namespace ashlar
