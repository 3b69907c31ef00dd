// Pool::create: an empty pool, written so that it exists only when all of it does.
#include <cstring>

#include "base/bytes.h"
#include "store/pool_impl.h"

namespace ashlar::store {

namespace {

using Done = std::function<void(Result<std::unique_ptr<Pool>>)>;

struct Creation {
  std::unique_ptr<PoolImpl> pool;
  Done done;
  AlignedBuffer superblocks{2 * size_t{limits::block_bytes}};
  AlignedBuffer zeroes{1u << 20};
  uint64_t next = 0;  // What is still to be written with zeroes: [next, end).
  uint64_t end = 0;

  void fail(Error error) {
    PoolImpl::abandon(std::move(pool), [told = std::move(done), error = std::move(error)] {
      told(error);
    });
  }
};
using Shared = std::shared_ptr<Creation>;

Status check_geometry(const DeviceGeometry& geometry, const PoolOptions& options) {
  if (geometry.size_bytes < limits::min_pool_bytes ||
      geometry.size_bytes > limits::max_pool_bytes) {
    return Error{ErrorCode::invalid_argument,
                 "a size of " + std::to_string(geometry.size_bytes) +
                     " bytes; a pool takes 16 MiB to 256 TiB"};
  }
  if (options.journal_bytes != 0 &&
      (options.journal_bytes < limits::min_journal_bytes ||
       options.journal_bytes > limits::max_journal_bytes ||
       options.journal_bytes > geometry.size_bytes / 4 ||
       !is_multiple(options.journal_bytes, limits::chunk_bytes))) {
    return Error{ErrorCode::invalid_argument,
                 "a journal of " + std::to_string(options.journal_bytes) +
                     " bytes; 1 MiB to 1 GiB, at most a quarter of the pool, in steps of 64 KiB, is "
                     "possible"};
  }
  return Unit{};
}

Superblock empty_superblock(const DeviceGeometry& geometry, const PoolOptions& options,
                            Random& random) {
  Superblock s;
  s.magic = superblock_magic;
  s.version = format_version;
  s.bytes = sizeof s;
  s.incompatible_features = feature_merging;
  s.pool = options.uuid;
  Uuid bits{};
  random.fill(bits);
  s.device = random_uuid(bits);
  s.device_count = 1;
  s.size_bytes = geometry.size_bytes;
  s.chunk_bytes = limits::chunk_bytes;
  s.block_bytes = limits::block_bytes;
  s.total_chunks = geometry.size_bytes / limits::chunk_bytes;
  s.journal_first_chunk = first_journal_chunk;
  s.journal_bytes = options.journal_bytes != 0 ? options.journal_bytes
                                               : default_journal_bytes(geometry.size_bytes);
  s.kill_log_first_chunk = s.journal_first_chunk + s.journal_bytes / limits::chunk_bytes;
  s.kill_log_bytes = KillLog::bytes_for(
      Journal(s.pool, s.journal_first_chunk, s.journal_bytes).max_record_bytes());
  s.next_sequence = 1;
  s.devices[0].uuid = s.device;
  s.devices[0].chunk_count = s.total_chunks;
  return s;
}

// The image in memory, then two checkpoints: they write both superblock copies.
void write_image(const Shared& creation) {
  PoolImpl& pool = *creation->pool;
  const Superblock& s = pool.superblock;
  pool.devices.load(s);
  CHECK(pool.allocator.load(s.total_chunks));
  const uint64_t fixed = fixed_chunks(s);
  CHECK(pool.allocator.claim_first(fixed));
  for (uint32_t i = 0; i < limits::initial_metadata_chunks; ++i) {
    const auto chunk = static_cast<uint32_t>(fixed + i);
    CHECK(pool.allocator.claim(chunk));
    CHECK(pool.space.add_chunk(i, chunk));
  }
  pool.metadata_chunks = pool.allocator.owned_count();
  pool.committer.start(Journal(s.pool, s.journal_first_chunk, s.journal_bytes), 0, 0, 1);
  const auto failed = [creation](const Status&) {
    const PoolImpl& broken = *creation->pool;
    creation->fail(Error{broken.failure_code, "writing the new pool: " + broken.failure});
  };
  pool.checkpointer.request(false, [creation, failed](Status first) {
    if (!first.ok()) return failed(first);
    creation->pool->checkpointer.request(true, [creation, failed](Status second) {
      if (!second.ok()) return failed(second);
      PoolImpl& made = *creation->pool;
      made.committer.keep_through_kills(made.open_kill_log());
      const auto told = std::move(creation->done);
      told(std::unique_ptr<Pool>(std::move(creation->pool)));
    });
  });
}

// Allocates the journal's and the first metadata chunks' bytes. Under a sparse file on a full disk
// it is here that creating fails, and never later that committing does.
void write_zeroes(const Shared& creation) {
  Device& device = creation->pool->device();
  if (creation->next == creation->end) {
    cold_flush(device, [creation](int result) {
      if (result != 0) return creation->fail(error_from_errno(-result, "flushing the new pool"));
      write_image(creation);
    });
    return;
  }
  const uint64_t length =
      std::min<uint64_t>(creation->end - creation->next, creation->zeroes.size());
  cold_write(device, creation->next, creation->zeroes.span().first(length), false,
             [creation, length](int result) {
               if (result != 0) {
                 return creation->fail(error_from_errno(
                     -result, "allocating the first " + std::to_string(creation->end) +
                                  " bytes of the pool (journal, kill log and metadata)"));
               }
               creation->next += length;
               write_zeroes(creation);
             });
}

}  // namespace

void Pool::create(std::vector<Port> ports, uint32_t owner, const PoolOptions& options,
                  Random& random, Done done) {
  CHECK(owner < ports.size());
  Device& device = *ports[owner].device;
  const DeviceGeometry geometry = device.geometry();
  if (Status status = check_geometry(geometry, options); !status.ok()) {
    done(status.error());
    return;
  }
  auto creation = std::make_shared<Creation>();
  creation->done = std::move(done);
  creation->pool = std::make_unique<PoolImpl>(std::move(ports), owner, options, random);
  Superblock& s = creation->pool->superblock;
  s = empty_superblock(geometry, options, random);
  creation->end = (fixed_chunks(s) + limits::initial_metadata_chunks) * limits::chunk_bytes;
  const auto look = [creation](uint32_t copy, int result) {
    if (result != 0) {
      creation->fail(error_from_errno(-result, "reading the first blocks of the device"));
      return false;
    }
    const SuperblockReading reading =
        read_superblock(creation->superblocks.span().subspan(copy * size_t{limits::block_bytes},
                                                             limits::block_bytes),
                        true);
    if (reading.verdict == SuperblockVerdict::absent) return true;
    creation->fail(Error{ErrorCode::pool_exists,
                         "there is a pool already (" + to_string(reading.superblock.pool) +
                             "); it is left as it is: open it, or erase its first 128 KiB"});
    return false;
  };
  cold_read(device, superblock_offsets[0], creation->superblocks.span().first(limits::block_bytes),
            [creation, look, &device](int result) {
              if (!look(0, result)) return;
              cold_read(device, superblock_offsets[1],
                        creation->superblocks.span().subspan(limits::block_bytes),
                        [creation, look](int second) {
                          if (look(1, second)) write_zeroes(creation);
                        });
            });
}

}  // namespace ashlar::store
