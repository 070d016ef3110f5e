package orders;

import java.util.List;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.servlet.context.ServletWebServerInitializedEvent;
import org.springframework.context.event.EventListener;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** An API of one route: GET /orders asks for the scope that application.yml names. */
@SpringBootApplication
@RestController
public class OrdersApplication {
    @GetMapping("/orders")
    Map<String, Object> orders(@AuthenticationPrincipal Jwt token) {
        return Map.of("subject", token.getSubject(), "orders", List.of(Map.of("id", 1, "item", "tea")));
    }

    @EventListener
    void started(ServletWebServerInitializedEvent event) {
        System.out.println("listening on http://127.0.0.1:" + event.getWebServer().getPort());
    }

    public static void main(String[] args) {
        SpringApplication application = new SpringApplication(OrdersApplication.class);
        String port = System.getenv().getOrDefault("PORT", "8000");
        application.setDefaultProperties(Map.of("server.address", "127.0.0.1", "server.port", port));
        application.run(args);
    }
}
