package node

import "testing"

func TestSecretName(t *testing.T) {
	for path, want := range map[string]bool{
		".env": true, "a/.env.local": true, "prod.env": true, "a/.ENV": true, ".env.example": false, ".environment": false,
		"id_rsa": true, "id_rsa.pub": false, "my.id_rsa": false, "a/b.pem": true, "b.pub.pem": false, "b.pem.txt": false, "x.Key": true, ".key": true,
		"wallet.dat": true, "secrets.yml": true, "secrets.yaml": true, "secrets.json": true, "secrets.txt": false,
		".ssh/config": true, "a/.aws/x": true, ".sshx/config": false, "ssh/config": false,
		"main.go": false, "keys.txt": true, "monkeys.txt": false, "credentials": true, "a.b.c.kdbx": true,
	} {
		if secretName(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}
