"""Clients that know nothing of aseptic, each with what it needs to be granted and what it says when it works.

Each is run three times: outside, which shows that client and server work; in a run with the grants; and in a run
without, which has to fail.
"""

from dataclasses import dataclass, field

INDEX = "--index-url https://pypi.example.org/simple/ --cert ca.pem --disable-pip-version-check --no-cache-dir"

JAVA = """
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Get {
    public static void main(String[] arguments) throws Exception {
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        var authority = CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream("ca.pem"));
        trusted.setCertificateEntry("testbed", authority);
        TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        URI address = URI.create("https://files.example.org/");

        HttpClient client = HttpClient.newBuilder().sslContext(context).build();
        HttpRequest request = HttpRequest.newBuilder(address).build();
        System.out.print("HttpClient: " + client.send(request, HttpResponse.BodyHandlers.ofString()).body());

        var connection = (HttpsURLConnection) address.toURL().openConnection();
        connection.setSSLSocketFactory(context.getSocketFactory());
        System.out.print("HttpsURLConnection: " + new String(connection.getInputStream().readAllBytes()));
    }
}
"""

NODE = """
import https from "node:https";
const body = await (await fetch("https://files.example.org/")).text();
process.stdout.write("fetch: " + body);
https.get("https://files.example.org/bytes/100000", (answer) => {
  let count = 0;
  answer.on("data", (part) => { count += part.length; });
  answer.on("end", () => console.log("https: " + count));
});
"""

PSYCOPG = """
import psycopg
with psycopg.connect("host=db.example.org user=tester dbname=postgres sslmode=verify-full sslrootcert=ca.pem") as database:
    database.execute("create temporary table numbers as select generate_series(1, 100000) as n")
    with database.cursor().copy("copy numbers to stdout") as copy:
        print("psycopg:", sum(int(row) for block in copy for row in bytes(block).split()), database.pgconn.ssl_in_use)
"""

ARROW = """
import pyarrow.fs
options = {"access_key": "key", "secret_key": "secret", "region": "us-east-1"}
store = pyarrow.fs.S3FileSystem(endpoint_override="s3.example.org", scheme="http", **options)
with store.open_input_file("bucket/numbers.bin") as file:
    file.seek(1000)
    print("arrow:", len(file.read(500)), store.get_file_info("bucket/numbers.bin").size)
"""

# One connection that does nothing for a while, longer than any client waits for an answer.
IDLE = """
import socket, time
with socket.create_connection(("odd.example.org", 7)) as connection:
    connection.sendall(b"before\\r\\n")
    assert connection.recv(100) == b"before\\r\\n"
    time.sleep(20)
    connection.sendall(b"after\\r\\n")
    print("idle:", connection.recv(100))
"""

HALF = """
import hashlib, socket
data = bytes(range(256)) * 20000
with socket.create_connection(("odd.example.org", 9005)) as connection:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    answer = connection.makefile().read()
    print("half:", answer == hashlib.sha256(data).hexdigest())
with socket.create_connection(("odd.example.org", 9003)) as connection:
    said = connection.makefile().read()
    connection.sendall(b"and I have more to say\\n" * 100000)
    connection.shutdown(socket.SHUT_WR)
    print("server's half:", said, end="")
"""

ODD = """
import socket
def attempt(port, say=b""):
    with socket.create_connection(("odd.example.org", port), timeout=3) as connection:
        try:
            connection.sendall(say)
            said = b""
            while data := connection.recv(4096):
                said += data
            return said
        except ConnectionResetError:
            return "reset"
        except TimeoutError:
            return "silence"
print("odd:", attempt(9001, b"x\\r\\n"), attempt(9002, b"x\\r\\n"), attempt(9004))
with socket.create_connection(("odd.example.org", 9006)) as connection:
    print(connection.recv(100))
    connection.sendall(b"EHLO me\\r\\n")
    print("greeted:", connection.recv(100))
"""


@dataclass
class Client:
    name: str
    grants: list[str]
    command: str  # For sh(1), in a directory with `ca.pem` and the files.
    says: list[str]
    files: dict[str, str] = field(default_factory=dict)
    needs: str = ""  # What has to be there besides Debian's packages: `python` for the environment of the tests.


HTTPS = ["files.example.org:443"]
CLIENTS = [
    Client("curl, HTTP", ["files.example.org:80"], "curl -sS --fail http://files.example.org/", ["over http\n"]),
    Client("curl, HTTPS", HTTPS, "curl -sS --fail --cacert ca.pem https://files.example.org/", ["over https\n"]),
    Client(
        "curl, HTTP/2",
        ["h2.example.org:8443"],
        "curl -sS --http2 --cacert ca.pem -w ' by %{http_version}' https://h2.example.org:8443/",
        ["h2 by 2"],
    ),
    Client(
        "curl, an upload and a download of 64 MB",
        HTTPS,
        "head -c 64000000 /dev/zero | curl -sS --fail --cacert ca.pem -H Expect: --data-binary @-"
        " https://files.example.org/ | sha256sum; curl -sS --cacert ca.pem https://files.example.org/bytes/64000000 | wc -c",
        ["dbcb3a959f7dba70347a2e6f528f421c67701b8ed5dbed575ff22f6eb4fb94b7", "64000000"],
    ),
    Client(
        "curl, IPv6 alone",
        ["six.example.org:443"],
        "curl -sS --fail --cacert ca.pem https://six.example.org/",
        ["six.example.org over https\n"],
    ),
    Client(
        "curl, all names below one",
        ["*.example.org:443"],
        "curl -sS --fail --cacert ca.pem https://files.example.org/ https://git.example.org/",
        ["files.example.org over https\ngit.example.org over https\n"],
    ),
    Client(
        "git",
        ["git.example.org:443"],
        "git -c http.sslCAInfo=$PWD/ca.pem clone --quiet https://git.example.org/project.git /tmp/cloned$$"
        " && git -C /tmp/cloned$$ log --format=%s",
        ["the second\nthe first\n"],
    ),
    Client(
        "pip",
        ["pypi.example.org:443"],
        f"python -m pip install --quiet {INDEX} --target /tmp/installed$$ testbed-package"
        " && PYTHONPATH=/tmp/installed$$ python -c 'import testbed_package; print(testbed_package.SAYS)'",
        ["installed from the index"],
        needs="python",
    ),
    Client(
        "psql",
        ["db.example.org:5432"],
        "psql 'host=db.example.org user=tester dbname=postgres sslmode=verify-full sslrootcert=ca.pem' -Atc"
        " 'select sum(n), (select ssl from pg_stat_ssl where pid = pg_backend_pid()) from generate_series(1, 1000) n'",
        ["500500|t"],
    ),
    Client(
        "psycopg", ["db.example.org:5432"], "python client.py", ["psycopg: 5000050000 True"], {"client.py": PSYCOPG}, "python"
    ),
    Client(
        "Java",
        HTTPS,
        "java -XX:TieredStopAtLevel=1 Get.java",
        ["HttpClient: files.example.org over https\n", "HttpsURLConnection: files.example.org over https\n"],
        {"Get.java": JAVA},
    ),
    Client(
        "Node",
        HTTPS,
        "NODE_EXTRA_CA_CERTS=ca.pem node client.mjs",
        ["fetch: files.example.org over https\n", "https: 100000"],
        {"client.mjs": NODE},
    ),
    Client("pyarrow", ["s3.example.org:80"], "python client.py", ["arrow: 500 4096"], {"client.py": ARROW}, "python"),
    Client("a connection that idles", ["odd.example.org:7"], "python3 client.py", ["idle: b'after\\r\\n'"], {"client.py": IDLE}),
    Client(
        "halves that close",
        ["odd.example.org:9003", "odd.example.org:9005"],
        "python3 client.py",
        ["half: True", "server's half: that is all\n"],
        {"client.py": HALF},
    ),
    Client(
        "servers that hang, reset, trickle and greet",
        [f"odd.example.org:{port}" for port in (9001, 9002, 9004, 9006)],
        "python3 client.py",
        ["odd: silence reset b'a byte at a time\\n'", "greeted: b'250 EHLO me\\r\\n'"],
        {"client.py": ODD},
    ),
]
