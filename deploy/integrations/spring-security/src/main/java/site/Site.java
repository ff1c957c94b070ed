package site;

import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpSession;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.client.OAuth2AuthorizeRequest;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClient;
import org.springframework.security.oauth2.client.RefreshTokenOAuth2AuthorizedClientProvider;
import org.springframework.security.oauth2.client.authentication.OAuth2AuthenticationToken;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.DefaultOAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizedClientRepository;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.stereotype.Controller;
import org.springframework.ui.Model;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;

/** A site with "Sign in with Passport" on Spring Security; how it signs in is in Security.java. */
@SpringBootApplication
@Controller
public class Site {
	private final OAuth2AuthorizedClientRepository tokens;
	private final DefaultOAuth2AuthorizedClientManager manager;

	Site(ClientRegistrationRepository registrations, OAuth2AuthorizedClientRepository tokens, RefreshTokenOAuth2AuthorizedClientProvider refreshing) {
		this.tokens = tokens;
		manager = new DefaultOAuth2AuthorizedClientManager(registrations, tokens);
		manager.setAuthorizedClientProvider(refreshing);
	}

	public static void main(String[] args) {
		SpringApplication.run(Site.class, args);
	}

	@GetMapping("/")
	String home(@AuthenticationPrincipal OidcUser user, HttpSession session, Model model) {
		model.addAttribute("user", user);
		model.addAttribute("refreshed", refreshed(session));
		return "home";
	}

	@PostMapping("/refresh")
	String refresh(OAuth2AuthenticationToken who, HttpServletRequest request, HttpSession session) {
		OAuth2AuthorizedClient before = tokens.loadAuthorizedClient("passport", who, request);
		OAuth2AuthorizedClient after = manager.authorize(
				OAuth2AuthorizeRequest.withClientRegistrationId("passport").principal(who).build());
		if (!after.getAccessToken().getTokenValue().equals(before.getAccessToken().getTokenValue())) {
			session.setAttribute("refreshed", refreshed(session) + 1);
		}
		return "redirect:/";
	}

	private static int refreshed(HttpSession session) {
		return session.getAttribute("refreshed") instanceof Integer n ? n : 0;
	}
}
