/** Portals, and the ANA states through each. */
import type { Ana, Portal } from '../../api/contract.js';
import { call, may, rights } from './api.js';
import { cli, count } from './format.js';
import { AnaStates } from './hosts.js';
import { useLive } from './live.js';

import { Badge, Card, type Column, Empty, Head, Table, Waiting, When } from './parts.js';
import { createPortal, deletePortal, drainPortal, resumePortal, setAna } from './portal_tasks.js';
import { TaskButton } from './task.js';

const columns = (may: boolean): Column<Portal>[] => [
  { title: 'Address', value: ({ endpoint }) => <span class="mono">{endpoint}</span> },
  { title: 'Number', value: ({ portalId }) => String(portalId), number: true },
  {
    title: 'State',
    value: ({ problem, drained }) =>
      problem !== null ? (
        <Badge tone="bad">{`waits: ${problem}`}</Badge>
      ) : drained ? (
        <Badge tone="warn">drained</Badge>
      ) : (
        <Badge tone="good">listens</Badge>
      ),
  },
  { title: 'Serves', value: ({ discoveryOnly }) => (discoveryOnly ? 'discovery' : 'volumes') },
  { title: 'ANA', value: (portal) => (portal.discoveryOnly ? '–' : <AnaStates portal={portal} />) },
  { title: 'TLS', value: ({ tls }) => tls, minor: true },
  { title: 'Controllers', value: ({ controllers }) => count(controllers), number: true },
  { title: 'Origin', value: ({ origin }) => origin, minor: true },
  ...(may
    ? [
        {
          title: 'Actions',
          quiet: true,
          value: (portal: Portal) => (
            <span class="row-actions">
              {!portal.discoveryOnly && (
                <TaskButton
                  label={`${portal.drained ? 'Resume' : 'Drain'} ${portal.endpoint}`}
                  task={() => (portal.drained ? resumePortal(portal) : drainPortal(portal))}
                >
                  {portal.drained ? 'Resume' : 'Drain'}
                </TaskButton>
              )}
              {portal.origin === 'added' && (
                <TaskButton
                  kind="danger"
                  label={`Delete portal ${portal.endpoint}`}
                  task={() => deletePortal(portal)}
                >
                  Delete
                </TaskButton>
              )}
            </span>
          ),
        } as Column<Portal>,
      ]
    : []),
];

const anaColumns = (may: boolean): Column<Ana>[] => [
  { title: 'Portal', value: ({ endpoint }) => <span class="mono">{endpoint}</span> },
  { title: 'ANA group', value: ({ anagrpid }) => String(anagrpid), number: true },
  { title: 'As hosts see it', value: ({ state }) => state },
  { title: 'Set', value: ({ lasting }) => lasting },
  { title: 'Change ends', value: ({ changeEndsAt }) => <When at={changeEndsAt} /> },
  ...(may
    ? [
        {
          title: 'Actions',
          quiet: true,
          value: ({ portalId, anagrpid, lasting, endpoint }: Ana) => (
            <TaskButton
              label={`Set the state of group ${anagrpid} through ${endpoint}`}
              task={() => setAna(portalId, anagrpid, lasting)}
            >
              Set
            </TaskButton>
          ),
        } as Column<Ana>,
      ]
    : []),
];

export function Portals() {
  const { node } = rights();
  const { value, error } = useLive('portals', async (aborter) => ({
    portals: (await call('listPortals', {}, aborter)).items,
    ana: node ? (await call('listAna', {}, aborter)).items : [],
  }));
  return (
    <>
      <Head title="Portals">
        {may('createPortal') && (
          <TaskButton kind="primary" task={createPortal}>
            Add portal
          </TaskButton>
        )}
      </Head>
      {value === null ? (
        <Waiting error={error} />
      ) : (
        <>
          {value.portals.length === 0 ? (
            <Empty title="No portals." line={cli('portal add 192.0.2.7')} />
          ) : (
            <Table
              caption="Portals"
              columns={columns(may('drainPortal'))}
              rows={value.portals}
              rowKey={({ portalId }) => String(portalId)}
            />
          )}
          {value.ana.length > 0 && (
            <Card title="ANA states" wide>
              <Table
                caption="ANA states"
                columns={anaColumns(may('setAna'))}
                rows={value.ana}
                rowKey={({ portalId, anagrpid }) => `${portalId} ${anagrpid}`}
              />
            </Card>
          )}
        </>
      )}
    </>
  );
}
