/** What limits the hosts of a volume: its policy, and what its tenant may do. */
import type { Policy, Tenant, Volume } from '../../api/contract.js';
import { Rates } from './access.js';
import { call, may, rights } from './api.js';
import { count } from './format.js';
import { useLive } from './live.js';
import { Card, Facts, Waiting } from './parts.js';
import { limitVolume, ownLimits } from './policy_tasks.js';
import { burstText, limitsText } from './policy_text.js';
import { Link } from './router.js';
import { TaskButton } from './task.js';

interface Limits {
  policy: Policy | null;
  tenant: Tenant;
}

function useLimits({ tenant, policy }: Volume) {
  return useLive(
    `limits ${tenant} ${policy ?? ''}`,
    async (aborter): Promise<Limits> => ({
      policy: policy === null ? null : await call('getPolicy', { params: { policy } }, aborter),
      tenant: await call('getTenant', { params: { tenant } }, aborter),
    }),
    5000,
  );
}

export function LimitsCard({ volume }: { volume: Volume }) {
  const { value, error } = useLimits(volume);
  return (
    <Card
      title="Limits"
      actions={
        <span class="actions">
          {mayChoose(value) && <TaskButton task={() => limitVolume(volume)}>Policy</TaskButton>}
          {may('createPolicy') && may('changeVolume') && (
            <TaskButton task={() => ownLimits(volume)}>Own limits</TaskButton>
          )}
        </span>
      }
    >
      {value === null ? (
        <Waiting error={error} />
      ) : (
        <Facts
          facts={[
            ['Policy', <PolicyName key="policy" policy={value.policy} />],
            ['At most', value.policy === null ? 'no limit' : limitsText(value.policy)],
            ['Bursts', (value.policy && burstText(value.policy)) ?? 'none'],
            ['Weight', count(value.policy?.weight ?? 100)],
            [`All of tenant ${volume.tenant}`, <Rates key="rates" tenant={value.tenant} />],
          ]}
        />
      )}
    </Card>
  );
}

/** An admin of a tenant takes no policy away that is not offered. */
function mayChoose(limits: Limits | null): boolean {
  if (limits === null || !may('changeVolume')) return false;
  return rights().node || limits.policy === null || limits.policy.offered;
}

function PolicyName({ policy }: { policy: Policy | null }) {
  if (policy === null) return <>none</>;
  return <Link href={`/policies?name=${encodeURIComponent(policy.name)}`}>{policy.name}</Link>;
}
