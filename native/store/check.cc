// Pool::check: the newest image on the device, walked whole. A writable pool is checkpointed first
// and its image kept until the check ends, so the proof is of one instant.
#include "store/pool_impl.h"
#include "store/walk.h"

namespace ashlar::store {

namespace {

using Done = std::function<void(Result<CheckReport>)>;

struct Checking : std::enable_shared_from_this<Checking> {
  PoolImpl& pool;
  Done done;

  Checking(PoolImpl& in, Done told) : pool(in), done(std::move(told)) { ++pool.checks_under_way; }

  void begin() {
    pool.checkpointer.hold();
    read_superblocks(pool.device(), false,
                     [self = shared_from_this()](const SuperblockCopies& copies) {
                       self->walk(copies);
                     });
  }

  void walk(const SuperblockCopies& copies) {
    CheckReport report;
    copies.judge(report);
    const Superblock* best = copies.best();
    const uint64_t generation = best == nullptr ? 0 : best->generation;
    if (generation != pool.superblock.generation) {
      add_problem(report, {"superblock",
                           "the newest valid copy is of generation " + std::to_string(generation) +
                               ", the open pool's of " +
                               std::to_string(pool.superblock.generation)});
      return end(std::move(report));
    }
    check_labels(*best, std::move(report));
  }

  void check_labels(const Superblock& best, CheckReport report) {
    pool.devices.check_labels([self = shared_from_this(), best, report = std::move(report)](
                                  std::vector<CheckReport::Problem> problems) mutable {
      for (auto& each : problems) add_problem(report, std::move(each));
      const auto walk =
          std::make_shared<Walk>(self->pool.device(), best, std::move(report),
                                 [self](Walk& walked) { self->end(std::move(walked.report)); });
      self->pool.check_report = std::shared_ptr<const CheckReport>(walk, &walk->report);
      self->pool.check_chunks = best.owned_chunks;
      walk->begin();
    });
  }

  void end(CheckReport report) {
    --pool.checks_under_way;
    pool.checkpointer.release();
    const auto told = std::move(done);
    told(std::move(report));
  }
};

}  // namespace

void PoolImpl::check(std::function<void(Result<CheckReport>)> done) {
  if (failed()) {
    done(failure_error());
    return;
  }
  if (closing) {
    done(Error{ErrorCode::closed, "the pool is being closed"});
    return;
  }
  auto checking = std::make_shared<Checking>(*this, std::move(done));
  if (options.read_only) {
    checking->begin();
    return;
  }
  checkpointer.request(false, [checking](const Status&) {
    // Inside the end of that checkpoint: nothing newer can have begun.
    checking->begin();
  });
}

}  // namespace ashlar::store
