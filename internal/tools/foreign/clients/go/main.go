// Calls a Muin by the client that was generated from its OpenAPI document.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"muin.example/client/muin"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	base, key := os.Args[1], os.Args[2]
	ctx := context.Background()
	client, err := muin.NewClientWithResponses(base, muin.WithRequestEditorFn(
		func(_ context.Context, request *http.Request) error {
			request.Header.Set("Authorization", "Bearer "+key)
			return nil
		}))
	check(err)
	id, first, renamed, mask, fresh := "foreign.go", "First", "Renamed", "display_name", "0s"
	start := int64(1)
	created, err := client.CountManagementServiceCreateCountWithResponse(ctx,
		&muin.CountManagementServiceCreateCountParams{CountId: id, InitialValue: &start},
		muin.MuinCountV1CountInfoInput{DisplayName: &first})
	check(err)
	_, err = client.CountManagementServiceUpdateCountWithResponse(ctx, id,
		&muin.CountManagementServiceUpdateCountParams{UpdateMask: &mask},
		muin.MuinCountV1CountInfoInput{DisplayName: &renamed})
	check(err)
	var delta muin.CountWriteServiceIncrementJSONBody_Delta
	check(delta.FromCountWriteServiceIncrementJSONBodyDelta0(5))
	added, err := client.CountWriteServiceIncrementWithResponse(ctx, id, nil,
		muin.CountWriteServiceIncrementJSONRequestBody{Delta: &delta})
	check(err)
	read, err := client.CountReadServiceGetCountWithResponse(ctx, id,
		&muin.CountReadServiceGetCountParams{MaxStaleness: &fresh})
	check(err)
	deleted, err := client.CountManagementServiceDeleteCountWithResponse(ctx, id, nil)
	check(err)
	missing, err := client.CountReadServiceGetCountWithResponse(ctx, "foreign.nobody", nil)
	check(err)
	fmt.Println(created.JSON200.Value.Value, added.JSON200.Value.Value, read.JSON200.Count.Info.DisplayName,
		deleted.JSON200.CountInfo.State, missing.JSON4XX.Error.Status)
}
