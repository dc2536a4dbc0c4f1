import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.Gauge;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.exporter.pushgateway.Format;
import io.prometheus.metrics.exporter.pushgateway.PushGateway;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.Unit;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

/**
 * Pushes with Prometheus's client for Java, as a batch job does: ADDRESS USER, and a command a line on standard input, each
 * answered by a line: ok, or failed and why.
 *
 * <p>Commands: FORMAT PASSWORD push|pushAdd|delete, with FORMAT protobuf or text. push replaces the group by three metrics,
 * pushAdd adds one.
 */
public class PushFromJava {
  public static void main(String[] arguments) throws Exception {
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String command = commands.readLine(); command != null; command = commands.readLine()) {
      String[] words = command.split(" ");
      try {
        run(arguments[0], arguments[1], words[1], format(words[0]), words[2]);
        System.out.println("ok");
      } catch (Exception failure) {
        System.out.println("failed " + String.valueOf(failure.getMessage()).replaceAll("\\s+", " "));
      }
      System.out.flush();
    }
  }

  private static void run(String address, String user, String password, Format format, String action) throws Exception {
    PushGateway gateway =
        PushGateway.builder()
            .address(address)
            .basicAuth(user, password)
            .format(format)
            .job("nightly")
            .groupingKey("instance", "i/1")
            .groupingKey("zone", "é")
            .registry(action.equals("push") ? wholeRun() : oneMore())
            .build();
    switch (action) {
      case "push" -> gateway.push();
      case "pushAdd" -> gateway.pushAdd();
      case "delete" -> gateway.delete();
      default -> throw new IllegalArgumentException(action);
    }
  }

  private static PrometheusRegistry wholeRun() {
    PrometheusRegistry registry = new PrometheusRegistry();
    Gauge.builder().name("java_last_success").help("When it did.").register(registry).set(7);
    Counter rows = Counter.builder().name("java_rows").help("How many.").labelNames("table").register(registry);
    rows.labelValues("a\"b\\c").inc(3);
    Histogram seconds =
        Histogram.builder().name("java_run").unit(Unit.SECONDS).help("How long.").classicOnly().register(registry);
    seconds.observe(0.3);
    seconds.observe(4);
    return registry;
  }

  private static PrometheusRegistry oneMore() {
    PrometheusRegistry registry = new PrometheusRegistry();
    Gauge.builder().name("java_more").help("Came later.").register(registry).set(5);
    return registry;
  }

  private static Format format(String name) {
    return name.equals("text") ? Format.PROMETHEUS_TEXT : Format.PROMETHEUS_PROTOBUF;
  }
}
