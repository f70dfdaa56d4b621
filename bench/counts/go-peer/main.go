// The peer in Go: what one would otherwise write. Increment over Connect on net/http and over gRPC on grpc-go, each call one INCRBY by
// go-redis. It checks no credentials, validates nothing, knows no request id and publishes no event.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/encoding/protowire"
)

const service = "muin.count.v1.CountWriteService"

// More than a call of the bench has.
const bodyBytesMax = 1 << 20

type server struct {
	redis  *redis.Client
	prefix string
}

// increment takes an IncrementRequest (field 1 count_id, 2 delta) and gives an IncrementResponse (field 1 value: 1 count_id, 2 value).
func (s *server) increment(ctx context.Context, request []byte) ([]byte, error) {
	var countID string
	delta := int64(1)
	for len(request) > 0 {
		number, kind, length := protowire.ConsumeTag(request)
		if length < 0 {
			return nil, protowire.ParseError(length)
		}
		request = request[length:]
		switch {
		case number == 1 && kind == protowire.BytesType:
			countID, length = protowire.ConsumeString(request)
		case number == 2 && kind == protowire.VarintType:
			var value uint64
			value, length = protowire.ConsumeVarint(request)
			delta = int64(value)
		default:
			length = protowire.ConsumeFieldValue(number, kind, request)
		}
		if length < 0 {
			return nil, protowire.ParseError(length)
		}
		request = request[length:]
	}
	value, err := s.redis.IncrBy(ctx, s.prefix+countID, delta).Result()
	if err != nil {
		return nil, err
	}
	var count []byte
	count = protowire.AppendTag(count, 1, protowire.BytesType)
	count = protowire.AppendString(count, countID)
	count = protowire.AppendTag(count, 2, protowire.VarintType)
	count = protowire.AppendVarint(count, uint64(value))
	var reply []byte
	reply = protowire.AppendTag(reply, 1, protowire.BytesType)
	return protowire.AppendBytes(reply, count), nil
}

func (s *server) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(response, request.Body, bodyBytesMax))
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	reply, err := s.increment(request.Context(), body)
	if err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	response.Header().Set("Content-Type", "application/proto")
	_, _ = response.Write(reply)
}

// asIs hands messages over as the bytes that they are.
type asIs struct{}

func (asIs) Name() string                         { return "proto" }
func (asIs) Marshal(message any) ([]byte, error)  { return *message.(*[]byte), nil }
func (asIs) Unmarshal(data []byte, out any) error { *out.(*[]byte) = data; return nil }

func incrementOverGrpc(impl any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var request []byte
	if err := decode(&request); err != nil {
		return nil, err
	}
	reply, err := impl.(*server).increment(ctx, append([]byte(nil), request...))
	return &reply, err
}

func main() {
	redisURL := flag.String("redis", "", "URL of the Redis")
	prefix := flag.String("prefix", "", "what stands before a Count's id in its key")
	flag.Parse()
	options, err := redis.ParseURL(*redisURL)
	if err != nil {
		log.Fatal(err)
	}
	s := &server{redis: redis.NewClient(options), prefix: *prefix}
	overHTTP, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	overGrpc, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	encoding.RegisterCodec(asIs{})
	grpcServer := grpc.NewServer()
	grpcServer.RegisterService(&grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Increment", Handler: incrementOverGrpc}},
	}, s)
	go func() { log.Fatal(grpcServer.Serve(overGrpc)) }()
	mux := http.NewServeMux()
	mux.Handle("POST /"+service+"/Increment", s)
	go func() { log.Fatal(http.Serve(overHTTP, mux)) }()
	fmt.Printf("http://%s %s\n", overHTTP.Addr(), overGrpc.Addr())
	// It ends with the bench.
	_, _ = io.Copy(io.Discard, os.Stdin)
}
