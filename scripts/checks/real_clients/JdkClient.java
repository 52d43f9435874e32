// The JDK's HttpClient: `java JdkClient.java CLEAR_URL TLS_URL CA.pem`. A line for each request:
// its name, the protocol, the status and the answer.
import java.io.ByteArrayInputStream;
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpClient.Version;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class JdkClient {
    static SSLContext trusting(String ca) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (FileInputStream file = new FileInputStream(ca)) {
            CertificateFactory factory = CertificateFactory.getInstance("X.509");
            store.setCertificateEntry("ca", factory.generateCertificate(file));
        }
        String algorithm = TrustManagerFactory.getDefaultAlgorithm();
        TrustManagerFactory trust = TrustManagerFactory.getInstance(algorithm);
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    static byte[] bytes(int length) {
        byte[] bytes = new byte[length];
        for (int at = 0; at < length; at++) bytes[at] = (byte) (at * 31 + at / 256);
        return bytes;
    }

    static HttpRequest request(String url, String method, BodyPublisher body) {
        HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(url));
        return builder.timeout(Duration.ofSeconds(20)).method(method, body).build();
    }

    static void say(String name, HttpResponse<String> answer) {
        String head = name + "\t" + answer.version() + "\t" + answer.statusCode();
        System.out.println(head + "\t" + answer.body().strip());
    }

    static void ask(String name, HttpClient.Builder builder, String url) throws Exception {
        byte[] large = bytes(300_000);
        // Each with a client of its own: only the first request of a connection offers h2c.
        BodyPublisher[] bodies = {
            BodyPublishers.noBody(), BodyPublishers.noBody(), BodyPublishers.ofString("x=1"),
            BodyPublishers.ofByteArray(large),
            BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(large)),
        };
        String[] methods = {"GET", "POST", "POST", "PUT", "POST"};
        for (int at = 0; at < bodies.length; at++) {
            HttpRequest one = request(url + "/" + at, methods[at], bodies[at]);
            say(name + " " + at, builder.build().send(one, BodyHandlers.ofString()));
        }
        HttpClient shared = builder.build();
        byte[] small = bytes(10_000);
        List<CompletableFuture<HttpResponse<String>>> answers = new ArrayList<>();
        for (int at = 0; at < 40; at++) {
            HttpRequest one = request(url + "/" + at, "POST", BodyPublishers.ofByteArray(small));
            answers.add(shared.sendAsync(one, BodyHandlers.ofString()));
        }
        for (var answer : answers) say(name + " together", answer.get());
    }

    public static void main(String[] words) throws Exception {
        SSLContext tls = trusting(words[2]);
        ask("clear", HttpClient.newBuilder(), words[0]);
        ask("clear, 1.1", HttpClient.newBuilder().version(Version.HTTP_1_1), words[0]);
        ask("tls", HttpClient.newBuilder().sslContext(tls), words[1]);
        HttpClient.Builder older = HttpClient.newBuilder().version(Version.HTTP_1_1);
        ask("tls, 1.1", older.sslContext(tls), words[1]);
    }
}
