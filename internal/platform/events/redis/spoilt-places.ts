import type { BrokerMeters } from "../broker-meters.ts";

/** Where the server keeps what cannot be read for what stands there, such as "partition 1 of count.value". */
export interface SpoiltPlaces {
  /** `finder` finds the place, of a topic, spoilt, or good. It is spoilt as long as one finds it so. */
  set(finder: object, topic: string, place: string, isSpoilt: boolean): void;
  /** Forgets what `finder` found: it looks no more. */
  forget(finder: object): void;
  /** The places, in the order in which they were found. */
  list(): readonly string[];
}

/** Creates a list without any, bounded by the topics and consumers of its process. Keeps the metric of it. */
export function createSpoiltPlaces({ spoilt }: Pick<BrokerMeters, "spoilt">): SpoiltPlaces {
  const found = new Map<string, { readonly topic: string; readonly finders: Set<object> }>();
  const measure = (topic: string): void =>
    spoilt.set([...found.values()].filter((place) => place.topic === topic).length, { topic });
  const clear = (place: string, finder: object): void => {
    const known = found.get(place);
    if (known?.finders.delete(finder) !== true || known.finders.size > 0) return;
    found.delete(place);
    measure(known.topic);
  };
  return {
    set: (finder, topic, place, isSpoilt) => {
      if (!isSpoilt) {
        clear(place, finder);
        return;
      }
      const known = found.get(place) ?? { topic, finders: new Set() };
      known.finders.add(finder);
      found.set(place, known);
      measure(topic);
    },
    forget: (finder) => {
      for (const place of found.keys()) clear(place, finder);
    },
    list: () => [...found.keys()],
  };
}
