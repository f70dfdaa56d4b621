import type { Migration } from "../../platform/postgres/database.ts";
import accounts from "./migrations/0001_accounts.sql" with { type: "text" };
import sessions from "./migrations/0002_sessions.sql" with { type: "text" };
import apiKeys from "./migrations/0003_api_keys.sql" with { type: "text" };
import auditLog from "./migrations/0004_audit_log.sql" with { type: "text" };
import people from "./migrations/0005_people.sql" with { type: "text" };
import secondFactors from "./migrations/0006_second_factors.sql" with { type: "text" };
import mails from "./migrations/0007_mails.sql" with { type: "text" };
import scopeGrants from "./migrations/0008_scope_grants.sql" with { type: "text" };
import devices from "./migrations/0009_devices.sql" with { type: "text" };
import networkQuotas from "./migrations/0010_network_quotas.sql" with { type: "text" };
import newcomers from "./migrations/0011_newcomers.sql" with { type: "text" };
import epochs from "./migrations/0013_epochs.sql" with { type: "text" };
import ownTopics from "./migrations/0012_own_topics.sql" with { type: "text" };
import bootstrapSecrets from "./migrations/0014_bootstrap_secrets.sql" with { type: "text" };
import auditPartitions from "./migrations/0016_audit_partitions.sql" with { type: "text" };
import proveBy from "./migrations/0017_prove_by.sql" with { type: "text" };
import entryPasses from "./migrations/0018_entry_passes.sql" with { type: "text" };
import keyOwners from "./migrations/0015_key_owners.sql" with { type: "text" };

/** Auth's schema, in the order in which it is applied. */
export const migrations: readonly Migration[] = [
  { name: "0001_accounts", sql: accounts },
  { name: "0002_sessions", sql: sessions },
  { name: "0003_api_keys", sql: apiKeys },
  { name: "0004_audit_log", sql: auditLog },
  { name: "0005_people", sql: people },
  { name: "0006_second_factors", sql: secondFactors },
  { name: "0007_mails", sql: mails },
  { name: "0008_scope_grants", sql: scopeGrants },
  { name: "0009_devices", sql: devices },
  { name: "0010_network_quotas", sql: networkQuotas },
  { name: "0011_newcomers", sql: newcomers },
  { name: "0012_own_topics", sql: ownTopics },
  { name: "0013_epochs", sql: epochs },
  { name: "0014_bootstrap_secrets", sql: bootstrapSecrets },
  { name: "0015_key_owners", sql: keyOwners },
  { name: "0016_audit_partitions", sql: auditPartitions },
  { name: "0017_prove_by", sql: proveBy },
  { name: "0018_entry_passes", sql: entryPasses },
];
