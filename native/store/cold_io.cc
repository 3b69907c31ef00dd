#include "store/cold_io.h"

#include <cstring>
#include <memory>

#include "base/bytes.h"

namespace ashlar::store {

namespace {

struct ColdOp {
  DeviceOp op;
  iovec segment{};
  ColdDone done;
};

void start(Device& device, DeviceOpKind kind, bool durable, uint64_t offset, std::byte* memory,
           size_t length, ColdDone done) {
  auto* cold = new ColdOp;
  cold->done = std::move(done);
  cold->segment = iovec{memory, length};
  cold->op.kind = kind;
  cold->op.durable = durable;
  cold->op.offset_bytes = offset;
  cold->op.length_bytes = length;
  if (length > 0) cold->op.segments = std::span<const iovec>(&cold->segment, 1);
  cold->op.context = cold;
  cold->op.done = [](DeviceOp& op) noexcept {
    const std::unique_ptr<ColdOp> self(static_cast<ColdOp*>(op.context));
    self->done(op.result);
  };
  device.submit(cold->op);
}

}  // namespace

AlignedBuffer AlignedBuffer::unwritten(size_t bytes) {
  AlignedBuffer made;
  made.bytes_ = round_up(bytes, 4096);
  made.data_ = static_cast<std::byte*>(std::aligned_alloc(4096, made.bytes_));
  CHECK(made.data_ != nullptr);
  return made;
}

AlignedBuffer::AlignedBuffer(size_t bytes) : AlignedBuffer(unwritten(bytes)) {
  std::memset(data_, 0, bytes_);
}

void cold_read(Device& device, uint64_t offset, std::span<std::byte> memory, ColdDone done) {
  start(device, DeviceOpKind::read, false, offset, memory.data(), memory.size(), std::move(done));
}

void cold_write(Device& device, uint64_t offset, std::span<const std::byte> memory, bool durable,
                ColdDone done) {
  start(device, DeviceOpKind::write, durable, offset, const_cast<std::byte*>(memory.data()),
        memory.size(), std::move(done));
}

void cold_flush(Device& device, ColdDone done) {
  start(device, DeviceOpKind::flush, false, 0, nullptr, 0, std::move(done));
}

}  // namespace ashlar::store
