import type { Delivery } from "../../platform/service/delivery.ts";
import type { CountCreated, CountDeleted, CountUpdated } from "../../gen/muin/count/v1/count_info_events_pb.ts";
import type { CountReader } from "./value/reader.ts";
import type { InfoCache } from "./info/cache.ts";

/** Empties the caches of what an event of a Count's metadata has made old, and keeps what it brought. */
export async function onInfoEvent(
  { infos, reader }: { readonly infos: Pick<InfoCache, "announce">; readonly reader: Pick<CountReader, "forget"> },
  { countId, countInfo, aggregateVersion }: CountCreated | CountUpdated | CountDeleted,
  { record }: Pick<Delivery, "record">,
): Promise<void> {
  reader.forget(countId);
  if (countInfo !== undefined) {
    await infos.announce({ info: countInfo, epoch: record.epoch, version: Number(aggregateVersion) });
  }
}
