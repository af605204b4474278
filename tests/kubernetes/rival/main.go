// A candidate with client-go's leaderelection, as teams write it: it prints "leads" and "stopped",
// and releases on TERM. With --journal its work, in this process, is to append a line every 25 ms,
// "at name pid event", with at in seconds of CLOCK_MONOTONIC.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const beat = 25 * time.Millisecond

func note(journal *os.File, name string, event string) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	fmt.Fprintf(journal, "%d.%09d %s %d %s\n", now.Sec, now.Nsec, name, os.Getpid(), event)
}

func work(ctx context.Context, path string, name string) {
	journal, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0600)
	if err != nil {
		panic(err)
	}
	note(journal, name, "start")
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(beat):
		}
		note(journal, name, "work")
	}
	note(journal, name, "end")
}

func main() {
	server := flag.String("server", "", "the API server's URL")
	token := flag.String("token", "", "a bearer token")
	ca := flag.String("ca", "", "the file with the authority's certificate")
	namespace := flag.String("namespace", "default", "the Lease's namespace")
	name := flag.String("lease", "", "the Lease's name")
	identity := flag.String("identity", "", "who this is")
	journal := flag.String("journal", "", "the file to append the work's lines to")
	duration := flag.Duration("lease-duration", 15*time.Second, "how long the Lease lasts")
	deadline := flag.Duration("renew-deadline", 10*time.Second, "how long renewing may fail")
	period := flag.Duration("retry-period", 2*time.Second, "the time between renewals")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	client := kubernetes.NewForConfigOrDie(&rest.Config{
		Host: *server, BearerToken: *token, TLSClientConfig: rest.TLSClientConfig{CAFile: *ca},
	})
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: *namespace, Name: *name},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: *identity},
		},
		ReleaseOnCancel: true,
		LeaseDuration:   *duration,
		RenewDeadline:   *deadline,
		RetryPeriod:     *period,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				fmt.Println("leads")
				if *journal != "" {
					work(ctx, *journal, *identity)
				}
				<-ctx.Done()
			},
			OnStoppedLeading: func() { fmt.Println("stopped") },
		},
	})
}
