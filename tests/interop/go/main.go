// Makes one call with grpc-go and prints what comes back, as lines of JSON.
//
// usage: interop CALL    CALL: JSON, see harness/client-program.ts
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	_ "google.golang.org/genproto/googleapis/rpc/errdetails" // registers the messages that errors carry
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	enginev1 "example.org/interop/gen/agentx/engine/v1"
	sessionv1 "example.org/interop/gen/agentx/session/v1"
	statev1 "example.org/interop/gen/agentx/state/v1"
	statsv1 "example.org/interop/gen/agentx/stats/v1"
)

type call struct {
	Target      string            `json:"target"`
	Service     string            `json:"service"`
	Method      string            `json:"method"`
	Request     json.RawMessage   `json:"request"`
	Headers     map[string]string `json:"headers"`
	TimeoutMs   int64             `json:"timeoutMs"`
	CancelAfter int               `json:"cancelAfter"`
	KeepaliveMs int64             `json:"keepaliveMs"`
}

// method parses a request, calls, and passes each answer on.
type method func(ctx context.Context, request []byte, each func(proto.Message)) error

func unary[Q any, PQ interface {
	*Q
	proto.Message
}, A proto.Message](invoke func(context.Context, PQ, ...grpc.CallOption) (A, error)) method {
	return func(ctx context.Context, body []byte, each func(proto.Message)) error {
		request := PQ(new(Q))
		if err := protojson.Unmarshal(body, request); err != nil {
			return err
		}
		answer, err := invoke(ctx, request)
		if err == nil {
			each(answer)
		}
		return err
	}
}

func stream[Q any, PQ interface {
	*Q
	proto.Message
}, A any, PA interface {
	*A
	proto.Message
}](invoke func(context.Context, PQ, ...grpc.CallOption) (grpc.ServerStreamingClient[A], error)) method {
	return func(ctx context.Context, body []byte, each func(proto.Message)) error {
		request := PQ(new(Q))
		if err := protojson.Unmarshal(body, request); err != nil {
			return err
		}
		answers, err := invoke(ctx, request)
		if err != nil {
			return err
		}
		for {
			answer, err := answers.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			each(PA(answer))
		}
	}
}

func methods(conn *grpc.ClientConn) map[string]method {
	engine := enginev1.NewEngineServiceClient(conn)
	session := sessionv1.NewSessionStoreServiceClient(conn)
	state := statev1.NewStateStoreServiceClient(conn)
	stats := statsv1.NewStatisticsStoreServiceClient(conn)
	return map[string]method{
		"agentx.engine.v1.EngineService/Receive":                stream(engine.Receive),
		"agentx.engine.v1.EngineService/Subscribe":              stream(engine.Subscribe),
		"agentx.engine.v1.EngineService/GetTurn":                unary(engine.GetTurn),
		"agentx.engine.v1.EngineService/ListMessages":           unary(engine.ListMessages),
		"agentx.session.v1.SessionStoreService/AddMessage":      unary(session.AddMessage),
		"agentx.session.v1.SessionStoreService/GetMessages":     unary(session.GetMessages),
		"agentx.session.v1.SessionStoreService/ClearMessages":   unary(session.ClearMessages),
		"agentx.session.v1.SessionStoreService/GetTurn":         unary(session.GetTurn),
		"agentx.session.v1.SessionStoreService/TailEvents":      stream(session.TailEvents),
		"agentx.session.v1.SessionStoreService/WatchWork":       stream(session.WatchWork),
		"agentx.state.v1.StateStoreService/GetState":            unary(state.GetState),
		"agentx.state.v1.StateStoreService/SetState":            unary(state.SetState),
		"agentx.state.v1.StateStoreService/CreateAgentRecord":   unary(state.CreateAgentRecord),
		"agentx.state.v1.StateStoreService/GetAgentRecord":      unary(state.GetAgentRecord),
		"agentx.stats.v1.StatisticsStoreService/AddTurn":        unary(stats.AddTurn),
		"agentx.stats.v1.StatisticsStoreService/GetTotalCost":   unary(stats.GetTotalCost),
		"agentx.stats.v1.StatisticsStoreService/GetTotalTokens": unary(stats.GetTotalTokens),
	}
}

func open(c call) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1 << 30)),
	}
	if c.KeepaliveMs > 0 {
		// grpc-go raises the time to 10 s.
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:                time.Duration(c.KeepaliveMs) * time.Millisecond,
			Timeout:             5 * time.Second,
			PermitWithoutStream: true,
		}))
	}
	return grpc.NewClient(c.Target, options...)
}

func say(line string) { fmt.Println(line) }

func main() {
	var c call
	if err := json.Unmarshal([]byte(os.Args[1]), &c); err != nil {
		log.Fatalf("the call is not JSON: %v", err)
	}
	conn, err := open(c)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	invoke, known := methods(conn)[c.Service+"/"+c.Method]
	if !known {
		log.Fatalf("add %s/%s to the methods of main.go", c.Service, c.Method)
	}

	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(context.Background(), metadata.New(c.Headers)))
	defer cancel()
	if c.TimeoutMs > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.TimeoutMs)*time.Millisecond)
		defer cancel()
	}
	count := 0
	err = invoke(ctx, c.Request, func(answer proto.Message) {
		say(fmt.Sprintf(`{"message":%s}`, protojson.MarshalOptions{}.Format(answer)))
		if count++; count == c.CancelAfter {
			cancel()
		}
	})
	sayStatus(status.Convert(err))
}

func sayStatus(s *status.Status) {
	body := map[string]any{"code": codeName(s.Code()), "message": s.Message()}
	details := []json.RawMessage{}
	for _, detail := range s.Proto().GetDetails() {
		encoded, err := protojson.Marshal(detail)
		if err != nil {
			log.Fatalf("an error carries a detail that cannot be read: %v", err)
		}
		details = append(details, encoded)
	}
	body["details"] = details
	line, err := json.Marshal(map[string]any{"status": body})
	if err != nil {
		log.Fatal(err)
	}
	say(string(line))
}

// codeName is the code as the gRPC specification writes it: NOT_FOUND.
func codeName(code codes.Code) string {
	names := []string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
		"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}
	return names[code]
}
