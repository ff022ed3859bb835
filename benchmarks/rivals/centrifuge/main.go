// A server on the centrifuge library, for the benchmarks: WebSockets, channels named as rooms, and either orders or Kafka to publish from.
//
// Prints {"port":N}. Orders are lines `run SECONDS UPDATES BYTES ROOMS`, answered by {"ticks":n,"seconds":s,"cpu":s}.
// With -kafka and -topic it publishes each record of the topic to the channel that the record's key names.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Updates that may wait for each connection before the next tick: enough to be joined, far from centrifuge's limit of 1 MB.
const window = 256

func newNode() *centrifuge.Node {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelError})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "bench"}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	return node
}

func publish(node *centrifuge.Node, channel string, data []byte) {
	if _, err := node.Publish(channel, data); err != nil {
		log.Fatal(err)
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

// received tells how many updates the reader has counted, by the file that both have mapped.
func received(name string) func() uint64 {
	if name == "" {
		return nil
	}
	file, err := os.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		log.Fatal(err)
	}
	memory, err := syscall.Mmap(int(file.Fd()), 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		log.Fatal(err)
	}
	return func() uint64 { return binary.LittleEndian.Uint64(memory) }
}

func run(node *centrifuge.Node, count func() uint64, seconds float64, updates, size, rooms int) {
	clients := node.Hub().NumClients()
	perTick := uint64(updates * clients)
	body := []byte(`{"type":"price_update","pad":"` + strings.Repeat("x", size-36) + `"}`)
	begun, cpu := time.Now(), cpuSeconds()
	ticks := uint64(0)
	for time.Since(begun).Seconds() < seconds {
		for count != nil && ticks*perTick > count()+uint64(window*clients) {
			time.Sleep(100 * time.Microsecond)
			if time.Since(begun).Seconds() > seconds+10 {
				break
			}
		}
		for room := 0; room < rooms; room++ {
			for n := 0; n < updates; n++ {
				publish(node, fmt.Sprintf("bench-%d", room), body)
			}
		}
		ticks++
	}
	fmt.Printf("{\"ticks\":%d,\"seconds\":%f,\"cpu\":%f}\n", ticks, time.Since(begun).Seconds(), cpuSeconds()-cpu)
}

func consume(node *centrifuge.Node, broker, topic string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	for {
		client.PollFetches(context.Background()).EachRecord(func(record *kgo.Record) {
			publish(node, string(record.Key), record.Value)
		})
	}
}

func main() {
	counter := flag.String("counter", "", "file in which the reader counts")
	broker := flag.String("kafka", "", "broker to consume from")
	topic := flag.String("topic", "", "its topic")
	flag.Parse()
	node := newNode()
	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin: func(*http.Request) bool { return true },
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(listener, nil)) }()
	if *broker != "" {
		go consume(node, *broker, *topic)
	}
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	count := received(*counter)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var seconds float64
		var updates, size, rooms int
		if _, err := fmt.Sscanf(lines.Text(), "run\t%f\t%d\t%d\t%d", &seconds, &updates, &size, &rooms); err != nil {
			log.Fatal(err)
		}
		run(node, count, seconds, updates, size, rooms)
	}
}
