/** What the target tells, as events of the node. */
import type { ControllerEndedEvent } from '../native.js';
import type { Controller } from '../target/controller.js';
import type { TargetListener } from '../target/target.js';
import type { EventLog, EventOwner } from './event_log.js';

/** Refused Connects told one by one in a minute; a peer that keeps trying must not fill the log. */
const refusalsPerMinute = 60;

/** @param ownerOf the tenant that a subsystem is of; null: none, as of discovery. */
export function targetListener(
  events: EventLog,
  ownerOf: (subnqn: string) => EventOwner | null,
): TargetListener {
  let minute = 0;
  let refusals = 0;
  return {
    connected({ identity }) {
      const { hostnqn, subnqn, cntlid, peer, portalId, kind } = identity;
      const message = `host ${hostnqn} connected to ${subnqn} from ${peer}`;
      const details = { cntlid, portalId, kind };
      events.add('info', 'host-connected', message, hostnqn, details, ownerOf(subnqn));
    },
    disconnected(controller, event) {
      const { hostnqn, subnqn, cntlid, peer } = controller.identity;
      const message = `host ${hostnqn} from ${peer} ${endText(controller, event)}`;
      const severity = isOrderly(event) ? 'info' : 'warning';
      const details = { cntlid, detail: event.detail };
      events.add(severity, 'host-disconnected', message, hostnqn, details, ownerOf(subnqn));
    },
    refused(peer, portalId, { status, reason }) {
      const now = Math.floor(Date.now() / 60_000);
      if (now !== minute && refusals > refusalsPerMinute) {
        const more = `${refusals - refusalsPerMinute} more Connects were refused`;
        events.add('warning', 'connect-refused', more);
      }
      refusals = now === minute ? refusals + 1 : 1;
      minute = now;
      if (refusals > refusalsPerMinute) return;
      const message = `Connect from ${peer} refused: ${reason}`;
      events.add('warning', 'connect-refused', message, null, { portalId, status });
    },
    failed(what, error) {
      const message = `${what}: ${error.message}`;
      events.add('error', 'internal-error', message, null, { err: error });
    },
  };
}

function isOrderly(event: ControllerEndedEvent): boolean {
  return event.reason === 'disconnected' || event.reason === 'destroyed';
}

function endText(controller: Controller, event: ControllerEndedEvent): string {
  switch (event.reason) {
    case 'disconnected':
      return 'disconnected';
    case 'destroyed':
      return 'was disconnected by this node';
    case 'keep-alive-expired':
      return `was silent for ${controller.features.keepAliveMs} ms; its association ended`;
    case 'not-authenticated':
      return `was not let in: ${event.detail}`;
    case 'transport-error':
      return `lost its connection: ${event.detail}`;
  }
}
