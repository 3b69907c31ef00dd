/** How much hosts may do a second, under a name. */
import type { Policy } from '../../api/contract.js';
import { call, may } from './api.js';
import { cli, count } from './format.js';
import { listState, Pager, usePaged } from './paged.js';
import {
  type Column,
  Empty,
  FilterBar,
  Head,
  Problem,
  Table,
  TextFilter,
  Waiting,
  When,
} from './parts.js';
import { changePolicy, createPolicy, deletePolicy } from './policy_tasks.js';
import { burstText, limitsOf, usersText } from './policy_text.js';
import { go, place, withQuery } from './router.js';
import { TaskButton } from './task.js';

function Limits({ policy }: { policy: Policy }) {
  const limits = limitsOf(policy);
  if (limits.length === 0) return <span class="soft">no limit</span>;
  return (
    <ul>
      {limits.map((limit) => (
        <li key={limit}>{limit}</li>
      ))}
    </ul>
  );
}

const columns = (change: boolean): Column<Policy>[] => [
  { title: 'Name', value: ({ name }) => name },
  { title: 'At most', value: (policy) => <Limits policy={policy} /> },
  { title: 'Bursts', value: (policy) => burstText(policy) ?? '–' },
  { title: 'Weight', value: ({ weight }) => count(weight), number: true },
  { title: 'Used by', value: usersText },
  { title: 'Offered', value: ({ offered }) => (offered ? 'to tenants' : 'no'), minor: true },
  { title: 'Created', value: ({ createdAt }) => <When at={createdAt} />, minor: true },
  ...(change
    ? [
        {
          title: 'Actions',
          quiet: true,
          value: (policy: Policy) => (
            <span class="row-actions">
              <TaskButton
                label={`Change policy ${policy.name}`}
                task={() => changePolicy(policy.name)}
              >
                Change
              </TaskButton>
              <TaskButton
                kind="danger"
                label={`Delete policy ${policy.name}`}
                task={() => deletePolicy(policy)}
              >
                Delete
              </TaskButton>
            </span>
          ),
        } as Column<Policy>,
      ]
    : []),
];

export function Policies() {
  const name = place.value.query.get('name') ?? '';
  const asked = name === '' ? {} : { name };
  const paged = usePaged(name, (page, aborter) =>
    call('listPolicies', { query: { ...asked, ...page } }, aborter),
  );
  return (
    <>
      <Head title="Policies">
        {may('createPolicy') && (
          <TaskButton kind="primary" task={createPolicy}>
            Create policy
          </TaskButton>
        )}
      </Head>
      <FilterBar>
        <TextFilter
          label="Filter by name"
          value={name}
          onValue={(value) => go(withQuery({ name: value }), true)}
        />
      </FilterBar>
      <Problem error={paged.value === null ? null : paged.error} />
      {listState(
        paged,
        name === '' ? (
          <Empty
            title="No policies."
            {...(may('createPolicy') && {
              line: cli('policy create bronze --iops 1k --rate 50MiB'),
            })}
          >
            <p>
              A policy says how much the hosts of a volume, or of a tenant, may do a second, how far
              they may burst, and what their share is in a crowd.
            </p>
          </Empty>
        ) : (
          <Empty title="No policy is like that.">
            <p>Change the filter above.</p>
          </Empty>
        ),
        <Waiting error={paged.error} />,
      ) ?? (
        <Table
          caption="Policies"
          columns={columns(may('changePolicy'))}
          rows={paged.items}
          rowKey={({ name: key }) => key}
          busy={paged.waiting}
        />
      )}
      {paged.value !== null && <Pager paged={paged} noun="policies" />}
    </>
  );
}
