// A real kube-apiserver for tests, with etcd in the same process, in $TESTAPI_DATA. Its options are kube-apiserver's own,
// but for --etcd-servers, which it gives itself. For tests only: etcd does not wait for the disk.
package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func startEtcd(directory string) (*embed.Etcd, error) {
	if directory == "" {
		return nil, errors.New("TESTAPI_DATA names no directory")
	}
	config := embed.NewConfig()
	config.Dir = directory
	config.UnsafeNoFsync = true
	config.LogLevel = "error"
	loopback := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.LCUrls, config.ACUrls = loopback, loopback
	config.LPUrls, config.APUrls = loopback, loopback
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	return embed.StartEtcd(config)
}

func run() int {
	etcd, err := startEtcd(os.Getenv("TESTAPI_DATA"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "testapi:", err)
		return 1
	}
	defer etcd.Close()
	<-etcd.Server.ReadyNotify()
	os.Args = append(os.Args, "--etcd-servers=http://"+etcd.Clients[0].Addr().String())
	return cli.Run(app.NewAPIServerCommand())
}

func main() {
	os.Exit(run())
}
