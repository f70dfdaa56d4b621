"""Calls a Muin by the client that was generated from its OpenAPI document."""

import sys

from muin_client import AuthenticatedClient
from muin_client.api.muin_count_v_1_count_management_service import (
    count_management_service_create_count as create_count,
    count_management_service_delete_count as delete_count,
    count_management_service_update_count as update_count,
)
from muin_client.api.muin_count_v_1_count_read_service import count_read_service_get_count as get_count
from muin_client.api.muin_count_v_1_count_write_service import count_write_service_increment as increment
from muin_client.models import CountWriteServiceIncrementBody, MuinCountV1CountInfoInput

base, key = sys.argv[1:]
count_id = "foreign.python"
with AuthenticatedClient(base_url=base, token=key) as client:
    first = MuinCountV1CountInfoInput(display_name="First")
    created = create_count.sync(client=client, count_id=count_id, initial_value=1, body=first)
    renamed = MuinCountV1CountInfoInput(display_name="Renamed")
    update_count.sync(count_id, client=client, update_mask="display_name", body=renamed)
    added = increment.sync(count_id, client=client, body=CountWriteServiceIncrementBody(delta=5))
    read = get_count.sync(count_id, client=client, max_staleness="0s")
    deleted = delete_count.sync(count_id, client=client)
    missing = get_count.sync("foreign.nobody", client=client)
    print(
        created.value.value,
        added.value.value,
        read.count.info.display_name,
        deleted.count_info.state,
        missing.error.status,
    )
