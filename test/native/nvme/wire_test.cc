// Our wire structures and constants against libnvme's header, which others wrote from the same
// specification. This file is the only one that includes it.
#include <nvme/types.h>
// Its C structures for passthrough commands have the layout of the submission queue entry.
#include <nvme/api-types.h>
#include <nvme/ioctl.h>

#include <cstddef>

#include "nvme/fabrics.h"
#include "nvme/nvm.h"
#include "nvme/wire.h"
// Ours last: doctest's CHECK.
#include "../test.h"

namespace ours = ashlar::nvme;

#define SAME_OFFSET(our_type, our_field, their_type, their_field) \
  CHECK(offsetof(ours::our_type, our_field) == offsetof(struct their_type, their_field))

TEST_CASE("wire: the queue entry has the fields where libnvme's passthrough command has them") {
  // nvme_passthru_cmd is the entry's 64 bytes with user-space pointers in place of the SGL.
  SAME_OFFSET(Sqe, opcode, nvme_passthru_cmd, opcode);
  SAME_OFFSET(Sqe, flags, nvme_passthru_cmd, flags);
  SAME_OFFSET(Sqe, nsid, nvme_passthru_cmd, nsid);
  SAME_OFFSET(Sqe, cdw2, nvme_passthru_cmd, cdw2);
  SAME_OFFSET(Sqe, cdw3, nvme_passthru_cmd, cdw3);
  SAME_OFFSET(Sqe, mptr, nvme_passthru_cmd, metadata);
  SAME_OFFSET(Sqe, sgl, nvme_passthru_cmd, addr);
  SAME_OFFSET(Sqe, cdw10, nvme_passthru_cmd, cdw10);
  SAME_OFFSET(Sqe, cdw11, nvme_passthru_cmd, cdw11);
  SAME_OFFSET(Sqe, cdw12, nvme_passthru_cmd, cdw12);
  SAME_OFFSET(Sqe, cdw13, nvme_passthru_cmd, cdw13);
  SAME_OFFSET(Sqe, cdw14, nvme_passthru_cmd, cdw14);
  SAME_OFFSET(Sqe, cdw15, nvme_passthru_cmd, cdw15);
}

TEST_CASE("wire: Connect data is libnvme's") {
  CHECK(sizeof(ours::ConnectData) == sizeof(nvmf_connect_data));
  SAME_OFFSET(ConnectData, hostid, nvmf_connect_data, hostid);
  SAME_OFFSET(ConnectData, cntlid, nvmf_connect_data, cntlid);
  SAME_OFFSET(ConnectData, subnqn, nvmf_connect_data, subsysnqn);
  SAME_OFFSET(ConnectData, hostnqn, nvmf_connect_data, hostnqn);
  CHECK(ours::nqn_bytes == NVME_NQN_LENGTH);
}

TEST_CASE("wire: a Dataset Management range is libnvme's") {
  CHECK(sizeof(ours::DsmRange) == sizeof(nvme_dsm_range));
  SAME_OFFSET(DsmRange, context_attributes, nvme_dsm_range, cattr);
  SAME_OFFSET(DsmRange, length_blocks, nvme_dsm_range, nlb);
  SAME_OFFSET(DsmRange, slba, nvme_dsm_range, slba);
  CHECK(ours::dsm_deallocate == NVME_DSMGMT_AD);
}

TEST_CASE("wire: Identify Controller has the fields that the host reads where libnvme has them") {
  CHECK(ours::identify_bytes == sizeof(nvme_id_ctrl));
  CHECK(ours::identify_controller_mdts == offsetof(nvme_id_ctrl, mdts));
  CHECK(ours::identify_controller_kas == offsetof(nvme_id_ctrl, kas));
  CHECK(ours::identify_controller_sqes == offsetof(nvme_id_ctrl, sqes));
  CHECK(ours::identify_controller_maxcmd == offsetof(nvme_id_ctrl, maxcmd));
  CHECK(ours::identify_controller_nn == offsetof(nvme_id_ctrl, nn));
  CHECK(ours::identify_controller_sgls == offsetof(nvme_id_ctrl, sgls));
  CHECK(ours::identify_controller_ioccsz == offsetof(nvme_id_ctrl, ioccsz));
  CHECK(ours::identify_controller_iorcsz == offsetof(nvme_id_ctrl, iorcsz));
  CHECK(ours::identify_controller_icdoff == offsetof(nvme_id_ctrl, icdoff));
  CHECK(ours::cns_namespace == NVME_IDENTIFY_CNS_NS);
  CHECK(ours::cns_controller == NVME_IDENTIFY_CNS_CTRL);
  CHECK(ours::cns_active_namespaces == NVME_IDENTIFY_CNS_NS_ACTIVE_LIST);
  CHECK(ours::nsid_all == NVME_NSID_ALL);
}

namespace {

template <class Ours, class Theirs>
bool same(Ours our_value, Theirs their_value) {
  return static_cast<uint32_t>(our_value) == static_cast<uint32_t>(their_value);
}

}  // namespace

TEST_CASE("wire: opcodes are libnvme's") {
  CHECK(same(ours::AdminOpcode::get_log_page, nvme_admin_get_log_page));
  CHECK(same(ours::AdminOpcode::identify, nvme_admin_identify));
  CHECK(same(ours::AdminOpcode::abort, nvme_admin_abort_cmd));
  CHECK(same(ours::AdminOpcode::set_features, nvme_admin_set_features));
  CHECK(same(ours::AdminOpcode::get_features, nvme_admin_get_features));
  CHECK(same(ours::AdminOpcode::async_event_request, nvme_admin_async_event));
  CHECK(same(ours::AdminOpcode::keep_alive, nvme_admin_keep_alive));
  CHECK(same(ours::AdminOpcode::fabrics, nvme_admin_fabrics));
  CHECK(same(ours::IoOpcode::flush, nvme_cmd_flush));
  CHECK(same(ours::IoOpcode::write, nvme_cmd_write));
  CHECK(same(ours::IoOpcode::read, nvme_cmd_read));
  CHECK(same(ours::IoOpcode::write_uncorrectable, nvme_cmd_write_uncor));
  CHECK(same(ours::IoOpcode::compare, nvme_cmd_compare));
  CHECK(same(ours::IoOpcode::write_zeroes, nvme_cmd_write_zeroes));
  CHECK(same(ours::IoOpcode::dataset_management, nvme_cmd_dsm));
  CHECK(same(ours::IoOpcode::verify, nvme_cmd_verify));
  CHECK(same(ours::FabricsType::property_set, nvme_fabrics_type_property_set));
  CHECK(same(ours::FabricsType::connect, nvme_fabrics_type_connect));
  CHECK(same(ours::FabricsType::property_get, nvme_fabrics_type_property_get));
  CHECK(same(ours::FabricsType::auth_send, nvme_fabrics_type_auth_send));
  CHECK(same(ours::FabricsType::auth_receive, nvme_fabrics_type_auth_receive));
  CHECK(same(ours::FabricsType::disconnect, nvme_fabrics_type_disconnect));
}

TEST_CASE("wire: properties and their bits are libnvme's") {
  CHECK(same(ours::Property::cap, NVME_REG_CAP));
  CHECK(same(ours::Property::vs, NVME_REG_VS));
  CHECK(same(ours::Property::cc, NVME_REG_CC));
  CHECK(same(ours::Property::csts, NVME_REG_CSTS));
  CHECK(same(ours::Property::nssr, NVME_REG_NSSR));
  constexpr uint64_t cap = 0x0123'4567'89ab'cdef;
  CHECK(ours::cap_mqes_0based(cap) == NVME_CAP_MQES(cap));
  CHECK(ours::cap_timeout_ms(cap) == NVME_CAP_TO(cap) * 500);
  CHECK(NVME_CC_EN(ours::cc_enable) == 1);
  CHECK(NVME_CC_SHN(ours::cc_shn_normal) == NVME_CC_SHN_NORMAL);
  CHECK(NVME_CC_IOSQES(ours::cc_iosqes_64) == 6);
  CHECK(NVME_CC_IOCQES(ours::cc_iocqes_16) == 4);
  CHECK(NVME_CC_MPS(1u << ours::cc_mps_shift) == 1);
  CHECK(NVME_CSTS_RDY(ours::csts_ready) == 1);
  CHECK(NVME_CSTS_CFS(ours::csts_fatal) == 1);
  CHECK(NVME_CSTS_SHST(ours::csts_shst_complete) == NVME_CSTS_SHST_CMPLT);
}

TEST_CASE("wire: command dword bits are libnvme's") {
  // libnvme keeps the upper half of CDW12 as `control`.
  CHECK((ours::rw_fua >> 16) == NVME_IO_FUA);
  CHECK((ours::rw_limited_retry >> 16) == NVME_IO_LR);
  CHECK((ours::write_zeroes_deac >> 16) == NVME_IO_DEAC);
  CHECK(same(ours::feature_number_of_queues, NVME_FEAT_FID_NUM_QUEUES));
  CHECK(same(ours::feature_async_event_config, NVME_FEAT_FID_ASYNC_EVENT));
  CHECK(same(ours::feature_keep_alive_timer, NVME_FEAT_FID_KATO));
}

TEST_CASE("wire: status codes are libnvme's, with the type in bits 10:8") {
  using enum ours::StatusCode;
  constexpr uint32_t command_specific = NVME_SCT_CMD_SPECIFIC << 8;
  constexpr uint32_t media = NVME_SCT_MEDIA << 8;
  constexpr uint32_t path = NVME_SCT_PATH << 8;
  CHECK(same(success, NVME_SC_SUCCESS));
  CHECK(same(invalid_opcode, NVME_SC_INVALID_OPCODE));
  CHECK(same(invalid_field, NVME_SC_INVALID_FIELD));
  CHECK(same(command_id_conflict, NVME_SC_CMDID_CONFLICT));
  CHECK(same(data_transfer_error, NVME_SC_DATA_XFER_ERROR));
  CHECK(same(internal_error, NVME_SC_INTERNAL));
  CHECK(same(abort_requested, NVME_SC_ABORT_REQ));
  CHECK(same(invalid_namespace_or_format, NVME_SC_INVALID_NS));
  CHECK(same(command_sequence_error, NVME_SC_CMD_SEQ_ERROR));
  CHECK(same(invalid_sgl_segment_descriptor, NVME_SC_SGL_INVALID_LAST));
  CHECK(same(invalid_sgl_descriptor_count, NVME_SC_SGL_INVALID_COUNT));
  CHECK(same(data_sgl_length_invalid, NVME_SC_SGL_INVALID_DATA));
  CHECK(same(sgl_descriptor_type_invalid, NVME_SC_SGL_INVALID_TYPE));
  CHECK(same(sgl_offset_invalid, NVME_SC_SGL_INVALID_OFFSET));
  CHECK(same(keep_alive_timeout_invalid, NVME_SC_KAT_INVALID));
  CHECK(same(namespace_write_protected, NVME_SC_NS_WRITE_PROTECTED));
  CHECK(same(transient_transport_error, NVME_SC_TRAN_TPORT_ERROR));
  CHECK(same(lba_out_of_range, NVME_SC_LBA_RANGE));
  CHECK(same(capacity_exceeded, NVME_SC_CAP_EXCEEDED));
  CHECK(same(namespace_not_ready, NVME_SC_NS_NOT_READY));
  CHECK(same(invalid_log_page, command_specific | NVME_SC_INVALID_LOG_PAGE));
  CHECK(same(abort_limit_exceeded, command_specific | NVME_SC_ABORT_LIMIT));
  CHECK(same(aer_limit_exceeded, command_specific | NVME_SC_ASYNC_LIMIT));
  CHECK(same(feature_not_changeable, command_specific | NVME_SC_FEATURE_NOT_CHANGEABLE));
  CHECK(same(conflicting_attributes, command_specific | NVME_SC_BAD_ATTRIBUTES));
  CHECK(same(connect_incompatible_format, command_specific | NVME_SC_CONNECT_FORMAT));
  CHECK(same(connect_controller_busy, command_specific | NVME_SC_CONNECT_CTRL_BUSY));
  CHECK(same(connect_invalid_parameters, command_specific | NVME_SC_CONNECT_INVALID_PARAM));
  CHECK(same(connect_invalid_host, command_specific | NVME_SC_CONNECT_INVALID_HOST));
  CHECK(same(write_fault, media | NVME_SC_WRITE_FAULT));
  CHECK(same(unrecovered_read_error, media | NVME_SC_READ_ERROR));
  CHECK(same(compare_failure, media | NVME_SC_COMPARE_FAILED));
  CHECK(same(ana_persistent_loss, path | NVME_SC_ANA_PERSISTENT_LOSS));
  CHECK(same(ana_inaccessible, path | NVME_SC_ANA_INACCESSIBLE));
  CHECK(same(ana_transition, path | NVME_SC_ANA_TRANSITION));
  CHECK(same(command_aborted_by_host, path | NVME_SC_CMD_ABORTED_BY_HOST));
  // DNR: libnvme shows the status field without the phase bit.
  CHECK((ours::status_field(invalid_field, true) >> 1) == (NVME_SC_DNR | NVME_SC_INVALID_FIELD));
  CHECK(ours::status_field(success, false) == 0);
}
