#include "store/usage_check.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "store/mapping.h"

namespace ashlar::store {

namespace {

bool in_use(const LayerRecord& record) noexcept {
  return record.state != static_cast<uint8_t>(LayerState::empty);
}

}  // namespace

std::vector<std::vector<uint64_t>> UsageCheck::batches(const std::vector<LayerRecord>& records,
                                                       size_t about) {
  std::vector<uint64_t> root(records.size());
  std::iota(root.begin(), root.end(), 0);
  const auto find = [&root](uint64_t slot) {
    while (root[slot] != slot) slot = root[slot] = root[root[slot]];
    return slot;
  };
  for (uint64_t slot = 0; slot < records.size(); ++slot) {
    const uint64_t parent = records[slot].parent_slot_plus1;
    if (in_use(records[slot]) && parent != 0 && parent <= records.size()) {
      root[find(slot)] = find(parent - 1);
    }
  }
  std::map<uint64_t, std::vector<uint64_t>> families;
  for (uint64_t slot = 0; slot < records.size(); ++slot) {
    if (in_use(records[slot])) families[find(slot)].push_back(slot);
  }
  std::vector<std::vector<uint64_t>> batches;
  for (const auto& [first, slots] : families) {
    if (batches.empty() || batches.back().size() >= about) batches.emplace_back();
    batches.back().insert(batches.back().end(), slots.begin(), slots.end());
  }
  return batches;
}

void UsageCheck::add_layer(uint64_t slot, const LayerRecord& record) {
  place_.emplace(slot, members_.size());
  members_.push_back({slot, record, SIZE_MAX, {}});
}

void UsageCheck::add_entry(uint64_t slot, uint64_t index, MapEntry entry) {
  const auto at = place_.find(slot);
  if (at == place_.end()) return;
  Counted& counted = members_[at->second].counted;
  counted.mapped += static_cast<uint64_t>(std::popcount(entry.data));
  counted.allocated += entry.chunk != 0 ? 1 : 0;
  auto& words = leaves_[index / limits::words_per_page][slot];
  if (words == nullptr) words = std::make_unique<Words>();
  (*words)[index % limits::words_per_page] = entry.pack();
}

bool UsageCheck::order(const Problem& problem) {
  std::vector<size_t> depth(members_.size(), SIZE_MAX);
  for (size_t i = 0; i < members_.size(); ++i) {
    std::vector<size_t> path;
    for (size_t at = i; at != SIZE_MAX && depth[at] == SIZE_MAX;) {
      path.push_back(at);
      if (path.size() > members_.size()) {
        problem("layer slot " + std::to_string(members_[i].slot), "is its own ancestor");
        return false;
      }
      const uint64_t parent = members_[at].record.parent_slot_plus1;
      const auto found = parent == 0 ? place_.end() : place_.find(parent - 1);
      at = found == place_.end() ? SIZE_MAX : found->second;
      members_[path.back()].parent = at;
    }
    for (size_t step = path.size(); step-- > 0;) {
      const size_t parent = members_[path[step]].parent;
      depth[path[step]] = parent == SIZE_MAX ? 0 : depth[parent] + 1;
    }
  }
  std::vector<size_t> sorted(members_.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](size_t a, size_t b) { return depth[a] < depth[b]; });
  std::vector<size_t> place(members_.size());
  for (size_t i = 0; i < sorted.size(); ++i) place[sorted[i]] = i;
  std::vector<Member> members(members_.size());
  for (size_t i = 0; i < members_.size(); ++i) {
    members[place[i]] = members_[i];
    if (members_[i].parent != SIZE_MAX) members[place[i]].parent = place[members_[i].parent];
  }
  members_ = std::move(members);
  return true;
}

void UsageCheck::count_leaf(uint64_t leaf) {
  const auto& present = leaves_.at(leaf);
  const auto words_of = [&](size_t member) -> const Words* {
    if (member == SIZE_MAX) return nullptr;
    const auto at = present.find(members_[member].slot);
    return at == present.end() ? nullptr : at->second.get();
  };
  shown_.assign(members_.size(), {});
  for (size_t i = 0; i < members_.size(); ++i) {
    Member& member = members_[i];
    const Words* own = words_of(i);
    const bool has_parent = member.parent != SIZE_MAX;
    if (own == nullptr) {
      if (has_parent) shown_[i] = shown_[member.parent];
      member.counted.visible += shown_[i].blocks;
      continue;
    }
    auto masks = std::make_shared<Masks>();
    size_t against = member.parent;
    const bool passed = has_parent && members_[against].record.reclaim_leaf > leaf;
    if (passed) against = members_[against].parent;
    const Words* parent = words_of(against);
    uint64_t frees = 0;
    for (uint32_t slot = 0; slot < limits::words_per_page; ++slot) {
      const MapEntry entry = MapEntry::unpack((*own)[slot]);
      const Masks* below = has_parent ? shown_[member.parent].masks.get() : nullptr;
      const uint16_t lower = below == nullptr ? uint16_t{0} : (*below)[slot];
      (*masks)[slot] = static_cast<uint16_t>(entry.data | (lower & ~entry.zero));
      shown_[i].blocks += static_cast<uint64_t>(std::popcount((*masks)[slot]));
      if (parent != nullptr) frees += merge_frees(MapEntry::unpack((*parent)[slot]), entry);
    }
    shown_[i].masks = std::move(masks);
    member.counted.visible += shown_[i].blocks;
    member.counted.frees += frees;
    if (passed) members_[member.parent].counted.passed += frees;
  }
}

bool UsageCheck::compare(const Member& member, const Problem& problem) const {
  bool right = true;
  const auto differs = [&](const char* what, uint64_t says, uint64_t has) {
    if (says == has) return;
    right = false;
    problem("layer slot " + std::to_string(member.slot),
            "says " + std::to_string(says) + " " + what + ", has " + std::to_string(has));
  };
  const LayerRecord& record = member.record;
  const Counted& counted = member.counted;
  differs("mapped blocks", record.mapped_blocks, counted.mapped);
  differs("chunks", record.allocated_chunks, counted.allocated);
  if (record.state != static_cast<uint8_t>(LayerState::deleting)) {
    const bool known = (record.flags & layer_has_usage) != 0;
    differs("visible blocks", known ? record.visible_blocks : record.mapped_blocks,
            counted.visible);
  }
  differs("chunks that a merge would free", record.frees, counted.frees);
  differs("of these passed by the merge", record.passed_frees, counted.passed);
  return right;
}

void UsageCheck::judge(const Problem& problem, const Wrong& wrong, const Problem& ring) {
  if (order(ring)) {
    for (const auto& [leaf, present] : leaves_) count_leaf(leaf);
    for (const Member& member : members_) {
      if (!compare(member, problem)) wrong(member.slot, member.counted);
    }
  }
  drop();
}

void UsageCheck::drop() {
  members_.clear();
  place_.clear();
  leaves_.clear();
}

}  // namespace ashlar::store
