package domain_test

import (
	"testing"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func TestAddressPrefix(t *testing.T) {
	length := func(n uint32) *uint32 { return &n }
	for _, c := range []struct {
		ip   *davitv1.IpAddress
		want string
	}{
		{&davitv1.IpAddress{Address: "10.0.0.2", Prefix: length(24)}, "10.0.0.2/24"},
		{&davitv1.IpAddress{Address: "10.0.0.2", Prefix: length(0)}, "10.0.0.2/0"},
		{&davitv1.IpAddress{Address: "10.0.0.2"}, "10.0.0.2/8"},
		{&davitv1.IpAddress{Address: "172.16.0.2"}, "172.16.0.2/16"},
		{&davitv1.IpAddress{Address: "192.168.0.2"}, "192.168.0.2/24"},
		{&davitv1.IpAddress{Address: "fd00::2"}, "fd00::2/64"},
		{&davitv1.IpAddress{Address: "10.0.0.2", Prefix: length(33)}, ""},
		{&davitv1.IpAddress{Address: "1.2.3"}, ""},
	} {
		got, err := domain.AddressPrefix(c.ip)
		if (err != nil) != (c.want == "") || err == nil && got.String() != c.want {
			t.Errorf("%v is %v, %v; want %q", c.ip, got, err, c.want)
		}
	}
}

func TestRouteNetwork(t *testing.T) {
	length := func(n uint32) *uint32 { return &n }
	const v4, v6 = davitv1.IpFamily_IP_FAMILY_IPV4, davitv1.IpFamily_IP_FAMILY_IPV6
	for _, c := range []struct {
		route *davitv1.Route
		want  string
	}{
		{&davitv1.Route{Family: v4, Gateway: "10.0.0.1"}, "0.0.0.0/0"},
		{&davitv1.Route{Family: v6, Gateway: "fd00::1"}, "::/0"},
		{&davitv1.Route{Family: v4, Address: "10.1.0.0", Netmask: "255.255.0.0"}, "10.1.0.0/16"},
		{&davitv1.Route{Family: v4, Address: "10.1.0.0", Prefix: length(20)}, "10.1.0.0/20"},
		{&davitv1.Route{Family: v4, Address: "192.168.1.0"}, "192.168.1.0/24"},
		{&davitv1.Route{Family: v6, Address: "fd01::"}, "fd01::/64"},
		{&davitv1.Route{Family: v4, Address: "10.1.0.0", Prefix: length(64)}, ""},
		{&davitv1.Route{Family: v4, Address: "x"}, ""},
	} {
		got, err := domain.RouteNetwork(c.route)
		if (err != nil) != (c.want == "") || err == nil && got.String() != c.want {
			t.Errorf("%v is %v, %v; want %q", c.route, got, err, c.want)
		}
	}
}
