package node

import "testing"

func TestSecretName(t *testing.T) {
	for path, want := range map[string]bool{
		".env": true, "a/.env.local": true, "prod.env": true, "a/.ENV": true, ".env.example": false, ".environment": false,
		"id_rsa": true, "id_rsa.pub": false, "my.id_rsa": false, "a/b.pem": true, "b.pub.pem": false, "b.pem.txt": false, "x.Key": true, ".key": true,
		"wallet.dat": true, "secrets.yml": true, "secrets.yaml": true, "secrets.json": true, "secrets.txt": false,
		".ssh/config": true, "a/.aws/x": true, ".sshx/config": false, "ssh/config": false,
		".envrc": true, ".config/rclone/rclone.conf": true, "terraform.tfstate": true, ".s3cfg": true, ".mylogin.cnf": true,
		"main.go": false, "keys.txt": true, "monkeys.txt": false, "credentials": true, "a.b.c.kdbx": true,
	} {
		if secretName(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}

// TestPeek knows private keys by their content, whatever they are called.
func TestPeek(t *testing.T) {
	for head, want := range map[string]bool{
		"-----BEGIN OPENSSH PRIVATE KEY-----\n": true,
		"AGE-SECRET-KEY-1QQQ\n":                 true,
		"# created: 2026-11-28T00:00:00Z\n# public key: age1qqq\nAGE-SECRET-KEY-1QQQ\n": true, // as age-keygen writes it
		"a text that names AGE-SECRET-KEY-1QQQ":                                         false,
	} {
		var s sensitive
		if s.Peek("x", []byte(head)); s.keys["x"] != want {
			t.Errorf("%q: %v", head, !want)
		}
	}
}
