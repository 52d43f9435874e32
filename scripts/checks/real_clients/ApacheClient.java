// Apache HttpClient 5: `java -cp JARS ApacheClient.java CLEAR_URL`. A line for each request, as
// JdkClient says them.
import java.io.ByteArrayInputStream;
import org.apache.hc.client5.http.classic.methods.HttpUriRequestBase;
import org.apache.hc.client5.http.impl.classic.CloseableHttpClient;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.core5.http.HttpEntity;
import org.apache.hc.core5.http.io.entity.EntityUtils;
import org.apache.hc.core5.http.io.entity.InputStreamEntity;
import org.apache.hc.core5.http.io.entity.StringEntity;
import org.apache.hc.core5.util.VersionInfo;

public class ApacheClient {
    static void ask(
            CloseableHttpClient client, String name, String url, String method, HttpEntity body)
            throws Exception {
        HttpUriRequestBase request = new HttpUriRequestBase(method, java.net.URI.create(url));
        request.setEntity(body);
        // As it does by itself from 5.4 on.
        if (name.contains("TLS")) {
            request.addHeader("Upgrade", "TLS/1.2");
            request.addHeader("Connection", "Upgrade");
        }
        client.execute(request, answer -> {
            String said = EntityUtils.toString(answer.getEntity()).strip();
            String end = "\t" + answer.getVersion() + "\t" + answer.getCode() + "\t" + said;
            System.out.println(name + end);
            return null;
        });
    }

    public static void main(String[] words) throws Exception {
        ClassLoader loader = ApacheClient.class.getClassLoader();
        VersionInfo version = VersionInfo.loadVersionInfo("org.apache.hc.client5", loader);
        System.err.println(version.getRelease());
        byte[] large = new byte[300_000];
        String url = words[0] + "/apache";
        try (CloseableHttpClient client = HttpClients.createDefault()) {
            for (int at = 0; at < 10; at++) {
                ask(client, "GET", url, "GET", null);
                ask(client, "GET, offers TLS", url, "GET", null);
                ask(client, "POST, offers TLS", url, "POST", new StringEntity("x=1"));
                ask(client, "POST", url, "POST", new StringEntity("x=1"));
                ByteArrayInputStream stream = new ByteArrayInputStream(large);
                ask(client, "POST chunked", url, "POST", new InputStreamEntity(stream, null));
                ask(client, "POST without", url, "POST", null);
            }
        }
    }
}
